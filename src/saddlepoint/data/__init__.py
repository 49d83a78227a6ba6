"""Data: sources know files, the module knows batches. What stands in ``__all__`` may be a config's ``_target_``."""

from saddlepoint.data.module import DataModule
from saddlepoint.data.sources.cifar10 import CIFAR10
from saddlepoint.data.sources.digits import Digits
from saddlepoint.data.sources.gaussians import Gaussians
from saddlepoint.data.sources.image_folder import ImageFolder
from saddlepoint.data.sources.mnist import MNIST, FashionMNIST
from saddlepoint.data.sources.stacked_mnist import StackedMNIST

__all__ = ["CIFAR10", "MNIST", "DataModule", "Digits", "FashionMNIST", "Gaussians", "ImageFolder", "StackedMNIST"]
