"""A file that is not what its name promises is said to be what it is."""

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pimcomp.config import load_arch
from pimcomp.errors import ConfigError, ModelError
from pimcomp.foundation.file_kind import BOM, file_kind
from pimcomp.frontend import load_network
from pimcomp.frontend.load_network import locate
from tests.frontend.small_onnx import make, normals, op


def model() -> bytes:
    return bytes(make([op("Conv", "x w", "y")], {"x": (1, 2, 4, 4)}, {"w": normals(3, 2, 1, 1)}).SerializeToString())


def archive(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name in names:
            file.writestr(name, b"content")
    return packed.getvalue()


def tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        file.addfile(tarfile.TarInfo("model.onnx"), io.BytesIO())
    return packed.getvalue()


def array() -> bytes:
    packed = io.BytesIO()
    np.save(packed, np.zeros(3))
    return packed.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 46800000\n"
KINDS = {
    "lfs": (POINTER, "a Git LFS pointer.*git lfs pull"),
    "html": (b"\n <!DOCTYPE html><html><body>Sign in</body></html>", "an HTML page"),
    "gzip": (gzip.compress(model()), "compressed with gzip"),
    "bzip2": (bz2.compress(model()), "compressed with bzip2"),
    "xz": (lzma.compress(model()), "compressed with xz"),
    "zip": (archive("model.onnx"), "a ZIP archive: unpack"),
    "torch": (archive("net/data.pkl", "net/version"), "ZIP archive: a PyTorch file.*torch.onnx.export"),
    "pickle": (pickle.dumps({"state": [1.0]}, protocol=2), "pickle"),
    "tar": (tar(), "a tar archive"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5.*tf2onnx"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(64), "TensorFlow Lite"),
    "ort": (b"\x1c\0\0\0ORTM" + bytes(64), "ORT-format"),
    "numpy": (array(), "a numpy array"),
    "safetensors": ((16).to_bytes(8, "little") + b'{"w": {}}       ', "safetensors"),
    "xml": (b'<?xml version="1.0"?><net/>', "an XML file"),
    "utf16": ("cores: 4".encode("utf-16"), "text in UTF-16"),
}


@pytest.mark.parametrize("name", KINDS)
def test_as_a_network_it_is_named(name: str, tmp_path: Path) -> None:
    content, message = KINDS[name]
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"net.onnx: not an ONNX model: .*{message}"):
        load_network(path)


@pytest.mark.parametrize("name", ["lfs", "html", "gzip", "utf16"])
@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_as_a_chip_it_is_named(name: str, suffix: str, tmp_path: Path) -> None:
    content, message = KINDS[name]
    path = tmp_path / f"chip{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_arch(path)


@pytest.mark.parametrize("name", ["lfs", "html", "gzip"])
def test_as_a_node_list_it_is_named(name: str, tmp_path: Path) -> None:
    content, message = KINDS[name]
    path = tmp_path / "net.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_network(path)


def test_external_weights_that_are_a_pointer_are_named(tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "net.onnx"
    built = make([op("Conv", "x w", "y")], {"x": (1, 2, 4, 4)}, {"w": normals(300, 2, 1, 1)})
    onnx.save_model(built, str(path), save_as_external_data=True, location="net.data", size_threshold=0)
    (tmp_path / "net.data").write_bytes(POINTER)
    with pytest.raises(ModelError, match="found a Git LFS pointer"):
        load_network(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b'{"node_list": []}', "JSON text: a node list's name must end in .json"),
        (model()[:-40], "bytes are corrupt or incomplete.*download or export it again"),
        (b"ir_version: 8\ngraph { }\n", "an ONNX model as text"),
    ],
)
def test_what_looks_like_nothing_known_says_what_it_lacks(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_network(path)


def test_right_files_are_not_taken_for_others(tmp_path: Path) -> None:
    assert file_kind(model()) is None
    assert file_kind(b"name: small\nchip: {cores: 4}\n") is None
    for entry in Path(locate("digits_mlp")).parent.glob("*.onnx"):
        assert file_kind(entry.read_bytes()[:5000]) is None


def test_a_mark_of_windows_editors_in_front_of_text_is_no_part_of_it(tmp_path: Path) -> None:
    from pimcomp.config import arch_to_yaml
    from pimcomp.emit.arch_json import network_json, simulator_config

    arch = load_arch("puma")
    (tmp_path / "network.json").write_bytes(BOM + network_json(arch))
    for name, content in (
        ("chip.yaml", arch_to_yaml(arch).encode()),
        ("config.json", simulator_config(arch, sim_mode=1, sim_time_ms=1.0)),
    ):
        (tmp_path / name).write_bytes(content)
        plain = load_arch(tmp_path / name)
        (tmp_path / name).write_bytes(BOM + content)
        assert load_arch(tmp_path / name) == plain
