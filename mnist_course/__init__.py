import warnings

__version__ = "0.1.0"

# PyTorch 2.15 warns of a call that fastai 2.8 makes; a reader of the course can do nothing about it.
warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
