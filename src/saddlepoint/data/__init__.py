"""Data sources and the data module. A config may use the classes in ``__all__`` as ``_target_``."""

from saddlepoint.data.module import DataModule
from saddlepoint.data.sources.binarised_mnist import BinarisedMNIST
from saddlepoint.data.sources.cifar10 import CIFAR10
from saddlepoint.data.sources.digits import Digits
from saddlepoint.data.sources.gaussians import Gaussians
from saddlepoint.data.sources.huggingface import HuggingFace
from saddlepoint.data.sources.image_folder import ImageFolder
from saddlepoint.data.sources.known_folder import KnownFolder
from saddlepoint.data.sources.mnist import EMNIST, KMNIST, MNIST, FashionMNIST
from saddlepoint.data.sources.paired_folder import PairedFolder
from saddlepoint.data.sources.stacked_mnist import StackedMNIST
from saddlepoint.data.sources.torchvision_data import Torchvision
from saddlepoint.data.sources.unpaired_folder import UnpairedFolder
from saddlepoint.data.sources.unpaired_mnist import UnpairedMNIST
from saddlepoint.data.sources.webdataset import WebDataset

__all__ = [
    "CIFAR10",
    "EMNIST",
    "KMNIST",
    "MNIST",
    "BinarisedMNIST",
    "DataModule",
    "Digits",
    "FashionMNIST",
    "Gaussians",
    "HuggingFace",
    "ImageFolder",
    "KnownFolder",
    "PairedFolder",
    "StackedMNIST",
    "Torchvision",
    "UnpairedFolder",
    "UnpairedMNIST",
    "WebDataset",
]
