"""What a server's certificate is verified with: a context for TLS, made when it is first needed."""

import binascii
import sys

AUTHORITY_PATH = "ca.der"


class Authority:
    """Called, it gives an SSLContext, or None where there is nothing to verify a server with.

    `configured()` gives the configuration's CA, base64 of a DER certificate, or "". Without it the
    factory's `ca.der` counts, and without that the computer's own authorities, which MicroPython
    does not have.
    """

    def __init__(self, fs, configured):
        self._fs = fs
        self._configured = configured
        self._made_for = None
        self._context = None

    def __call__(self):
        """Raises ValueError or OSError for an authority that is no certificate."""
        text = self._configured()
        if text != self._made_for:
            self._context = make_context(self._certificate(text))
            self._made_for = text
        return self._context

    def _certificate(self, text):
        if text:
            return binascii.a2b_base64(text)
        try:
            with self._fs.open(AUTHORITY_PATH, "rb") as file:
                return file.read()
        except OSError:
            return None


def make_context(certificate):
    """A client's context that verifies by this DER certificate alone (None: see Authority)."""
    if sys.implementation.name != "micropython":
        import ssl

        return ssl.create_default_context(cadata=certificate)  # type: ignore[attr-defined]
    if certificate is None:
        return None
    import tls

    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED  # type: ignore[attr-defined]
    context.load_verify_locations(certificate)
    return context
