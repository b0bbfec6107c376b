"""The `vault` port in the ESP32's NVS, which replaces a value whole or not at all."""

import esp32

NAMESPACE = "ks"
MAX_VALUE_BYTES = 256
NOT_FOUND = -0x1102  # ESP_ERR_NVS_NOT_FOUND


class NvsVault:
    """Names have at most 15 characters (NVS). Errors are OSError."""

    def __init__(self, nvs=None):
        self._nvs = nvs or esp32.NVS(NAMESPACE)

    def get(self, name):
        buffer = bytearray(MAX_VALUE_BYTES)
        try:
            length = self._nvs.get_blob(name, buffer)
        except OSError as error:
            if error.args[0] != NOT_FOUND:
                raise
            return None
        return bytes(buffer[:length])

    def set(self, name, value):
        if not 0 < len(value) <= MAX_VALUE_BYTES:
            raise OSError(22, "not a value for the vault")
        self._nvs.set_blob(name, value)
        self._nvs.commit()

    def erase(self, name):
        try:
            self._nvs.erase_key(name)
        except OSError as error:
            if error.args[0] != NOT_FOUND:
                raise
        self._nvs.commit()
