"""Networks in: ONNX files and PIMCOMP-NN's JSON become Graphs. Importing this package does not import onnx."""

from pimcomp.frontend.load_network import ModelSource, load_network
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.frontend.model_index import ModelEntry, list_models

__all__ = ["LoadedNetwork", "ModelEntry", "ModelSource", "list_models", "load_network"]
