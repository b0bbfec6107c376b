"""What the tests of `ks image build` share."""

from __future__ import annotations

from collections.abc import Callable

from ks_simulator import vfs_image
from ks_tools.image_folder import ImageFolder

Build = Callable[..., int]


def files_of(image: ImageFolder) -> dict[str, bytes]:
    """The files of its `vfs` by path."""
    return vfs_image.read(image.path(image.part("vfs")).read_bytes())
