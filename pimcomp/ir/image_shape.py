"""Which part of a network's input or output belongs to one image."""


def image_shape(onnx_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one image's part of an input or output: without the batch axis.

    A model exported without a batch has none ([C, H, W], [n], a scalar); then the whole tensor is the image's.
    """
    return onnx_shape[1:] if onnx_shape[:1] == (1,) else onnx_shape
