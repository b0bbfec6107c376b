"""Files in a folder: the `fs` and `vault` ports with what `os` and `open` have everywhere."""

import os

_FOLDER_BIT = 0x4000
_TYPE_BITS = 0xF000
_BAD = ("", ".", "..")

try:
    _replace = os.replace
except AttributeError:  # MicroPython's rename replaces
    _replace = os.rename


def check_path(path):
    """Raises OSError unless `path` is relative, "/"-separated and stays below the root."""
    for part in path.split("/"):
        if part in _BAD or "\\" in part or "\0" in part or ":" in part:
            raise OSError(22, "not a path inside the folder")
    return path


def sync_file(file):
    """To the disk. MicroPython's flush does that; CPython's does not."""
    file.flush()
    if hasattr(os, "fsync"):
        os.fsync(file.fileno())


def sync_folder(path):
    """Make a rename in the folder durable, where folders can be synced."""
    if hasattr(os, "fsync") and hasattr(os, "O_DIRECTORY"):
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class HostFs:
    """The `fs` port below the folder `root`, which exists. Errors are OSError."""

    def __init__(self, root):
        self._root = root if root.endswith("/") else root + "/"

    def _full(self, path):
        return self._root + check_path(path)

    def open(self, path, mode):
        if mode not in ("rb", "wb", "ab", "r+b"):
            raise OSError(22, "no such mode")
        return open(self._full(path), mode)

    def sync(self, file):
        sync_file(file)

    def rename(self, old, new):
        full = self._full(new)
        _replace(self._full(old), full)
        sync_folder(full.rsplit("/", 1)[0])

    def remove(self, path):
        os.remove(self._full(path))

    def rmdir(self, path):
        """Removes an empty folder."""
        os.rmdir(self._full(path))

    def listdir(self, path):
        """The names, to be gone through once."""
        full = self._full(path) if path else self._root
        if hasattr(os, "ilistdir"):  # one by one: all names of a journal do not fit into the heap
            return (entry[0] for entry in os.ilistdir(full))
        return os.listdir(full)

    def mkdir(self, path):
        os.mkdir(self._full(path))

    def stat(self, path):
        """The size in bytes."""
        return os.stat(self._full(path))[6]

    def room(self):
        """(total, free) bytes of the file system that the terminal's data is on."""
        try:
            found = os.statvfs(self._root + "data")
        except OSError:
            found = os.statvfs(self._root)
        return found[1] * found[2], found[1] * found[4]

    def is_dir(self, path):
        try:
            return os.stat(self._full(path))[0] & _TYPE_BITS == _FOLDER_BIT
        except OSError:
            return False


class HostVault:
    """The `vault` port: one file a name in `folder`, replaced whole, readable by its owner alone.

    MicroPython cannot set the mode of a file: there the folder's mode, set when CPython or the
    user made it, protects what is in it.
    """

    def __init__(self, folder):
        self._folder = folder

    def _path(self, name):
        if not name or name.strip("abcdefghijklmnopqrstuvwxyz_"):
            raise OSError(22, "not a name of the vault")
        return self._folder + "/" + name

    def get(self, name):
        path = self._path(name)
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            if error.errno != 2:
                raise
            return None

    def set(self, name, value):
        path = self._path(name)
        make_private_folder(self._folder)
        with open_private(path + ".new") as file:
            file.write(value)
            sync_file(file)
        _replace(path + ".new", path)
        sync_folder(self._folder)

    def erase(self, name):
        path = self._path(name)
        try:
            os.remove(path)
        except OSError as error:
            if error.errno != 2:
                raise


def make_private_folder(path):
    """The folder, with mode 0700 where modes can be set; one that is there stays as it is."""
    try:
        os.mkdir(path)
    except OSError:
        return
    if hasattr(os, "chmod"):
        os.chmod(path, 0o700)


def open_private(path):
    """A new file for writing, with mode 0600 where modes can be set."""
    if not hasattr(os, "fchmod"):
        return open(path, "wb")
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    os.fchmod(file.fileno(), 0o600)
    return file
