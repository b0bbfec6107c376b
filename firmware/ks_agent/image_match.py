"""Whether an application and a full image of MicroPython belong together.

A manifest says what it needs of the image: IMAGE_MIN and IMAGE_MAX, a range of versions with both
ends, MPY ("6.3") of its bytecode and ARCH ("xtensawin") of its native code; what is absent does
not matter. An image is (version, mpy, arch): three texts, a port's `images.image()`.
"""

from .bundle import version
from .errors import UpdateRefused

IMAGE_MIX = "IMAGE_MIX"


def image_allows(manifest, images):
    """Raises UpdateRefused for an application that the running image could not load.

    `images` is the partition port's; where there is none, or where it does not know the image
    that runs, nothing is refused.
    """
    image = images.image() if images is not None else None
    if image is not None:
        check(manifest, image)


def check(manifest, image):
    """Raises UpdateRefused unless the application loads on the image, by the rules of
    MicroPython's loader: bytecode needs the same major number of MPY, native code the same MPY
    and the same architecture.
    """
    needs = manifest.fields()
    found, mpy, arch = image
    least = needs.get("IMAGE_MIN")
    most = needs.get("IMAGE_MAX")
    if least is not None and version(found) < version(least):
        raise UpdateRefused(IMAGE_MIX, "needs an image from " + least + " on, not " + found)
    if most is not None and version(found) > version(most):
        raise UpdateRefused(IMAGE_MIX, "needs an image up to " + most + ", not " + found)
    native = needs.get("ARCH")
    if native is not None and native != arch:
        raise UpdateRefused(IMAGE_MIX, "native code for " + native + ", not " + arch)
    wanted = needs.get("MPY")
    if wanted is None:
        return
    if native is None:
        wanted, mpy = wanted.partition(".")[0], mpy.partition(".")[0]
    if wanted != mpy:
        raise UpdateRefused(IMAGE_MIX, "code of mpy " + wanted + ", not " + mpy)
