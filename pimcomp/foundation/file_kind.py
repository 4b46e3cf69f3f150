"""What a file is that is not what its name promises: said in messages, with the way out."""

BOM = b"\xef\xbb\xbf"  # Windows editors put it in front of UTF-8; it is no part of the text
_LONGEST = 512  # bytes looked at
_HEADS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: `git lfs pull` fetches it"),
    (b"\x1f\x8b", "compressed with gzip: unpack it with gunzip"),
    (b"BZh", "compressed with bzip2: unpack it"),
    (b"\xfd7zXZ", "compressed with xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"\x89HDF", "an HDF5 file (Keras): export it with tf2onnx"),
    (b"\x80\x02", "a Python pickle (PyTorch): export the network with torch.onnx.export"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x89PNG", "a PNG picture"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"ir_version:", "an ONNX model as text: expected the binary form"),
)
_AT_4 = ((b"TFL3", "a TensorFlow Lite model: export it with tf2onnx"), (b"ORTM", "an ORT-format model: use its .onnx"))


def file_kind(content: bytes) -> str | None:
    """What a file that starts with `content` is known to be, and what to do about it; None if nothing is recognised."""
    head = content[:_LONGEST]
    for magic, kind in _HEADS:
        if head.startswith(magic):
            return kind
    for magic, kind in _AT_4:
        if head[4:8] == magic:
            return kind
    if head.startswith(b"PK\x03\x04"):
        inside = (
            b"data.pkl" in content[:_LONGEST] or b"/version" in content[:4096] or b"constants.pkl" in content[:4096]
        )
        torch = ": a PyTorch file, to be exported with torch.onnx.export" if inside else ": unpack it"
        return f"a ZIP archive{torch}"
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it"
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 100_000_000:
        return "a safetensors file, weights without a network: export the network to ONNX"
    text = head.removeprefix(BOM).lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page: the download gave a web page in place of the file (a login, a preview or an error)"
    if text.startswith((b"<?xml", b"<net")):
        return "an XML file (OpenVINO?): export the network to ONNX"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text in UTF-16: save it as UTF-8"
    return None
