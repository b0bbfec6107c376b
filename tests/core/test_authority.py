"""Which certificate a server is verified with."""

from support import raises

from ks_driver.authority import Authority


class NoFiles:
    def open(self, path, mode):
        raise OSError(2)


def test_a_context_is_made_once_for_each_authority():
    configured = [""]
    authority = Authority(NoFiles(), lambda: configured[0])
    first = authority()
    assert authority() is first


def test_an_authority_that_is_no_certificate_is_refused_each_time():
    authority = Authority(NoFiles(), lambda: "bm8gY2VydGlmaWNhdGU=")
    raises((ValueError, OSError), authority)
    raises((ValueError, OSError), authority)
