"""`network` of MicroPython's ESP32 port, as far as terminals use it, on the CHIP of start.py.

The one network there is comes by the control line `wifi SSID PASSWORD RSSI` (percent-escaped, no
password is an empty word); `wifi` alone takes it away. Without such a line every network is there
and takes every password. Sockets are the host's: no connection breaks with the radio.
Events: `wifi joined SSID`, `wifi left`, `ap SSID PASSWORD`, `ap off`.
"""

chip = CHIP
STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = 200, 201, 202
STAT_ASSOC_FAIL, STAT_HANDSHAKE_TIMEOUT = 203, 204
AUTH_OPEN, AUTH_WPA_PSK, AUTH_WPA2_PSK, AUTH_WPA_WPA2_PSK, AUTH_WPA3_PSK = 0, 2, 3, 4, 6
DEFAULT_RSSI = -55


class Air:
    """What the radio hears. `found`: (name, password, RSSI), None for nothing, ANY by default."""

    ANY = ("", "", DEFAULT_RSSI)
    found = ANY

    @classmethod
    def control(cls, words):
        words = [unescape(word) for word in words[1:]]
        cls.found = (words[0], words[1], int(words[2])) if words else None
        WLAN.weather()


def unescape(text):
    head, *pieces = text.split("%")
    data = head.encode()
    for piece in pieces:
        data += bytes([int(piece[:2], 16)]) + piece[2:].encode()
    return data.decode()


def escape(text):
    return "".join([chr(b) if 32 < b < 127 and b != 37 else "%%%02X" % b for b in text.encode()])


class WLAN:
    IF_STA, IF_AP = 0, 1
    PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = 0, 1, 2
    SEC_OPEN, SEC_WPA_WPA2, SEC_WPA2, SEC_WPA3 = 0, 4, 3, 6
    _is_on = [False, False]
    _wanted = None
    _status = STAT_IDLE
    _config = {"essid": "ESP", "ssid": "ESP", "channel": 1, "pm": 1}

    def __init__(self, interface=0):
        self._interface = interface

    def active(self, on=None):
        if on is not None:
            was = WLAN._is_on[self._interface]
            WLAN._is_on[self._interface] = bool(on)
            if not on and self._interface == self.IF_STA:
                self.disconnect()
            if not on and was and self._interface == self.IF_AP:
                chip.event("ap off")
        return WLAN._is_on[self._interface]

    def connect(self, name=None, password=None, *, bssid=None):
        if not WLAN._is_on[self.IF_STA]:
            raise OSError("Wifi Not Started")
        WLAN._wanted = (name, password or "")
        WLAN.weather()

    @classmethod
    def weather(cls):
        """What becomes of the wanted connection in the air as it is."""
        before = cls._status
        if cls._wanted is None:
            cls._status = STAT_IDLE
        elif Air.found is None or Air.found[0] not in ("", cls._wanted[0]):
            cls._status = STAT_NO_AP_FOUND
        elif Air.found[0] and Air.found[1] != cls._wanted[1]:
            cls._status = STAT_WRONG_PASSWORD
        else:
            cls._status = STAT_GOT_IP
        if cls._status != before:
            if cls._status == STAT_GOT_IP:
                chip.event("wifi joined " + escape(cls._wanted[0]))
            elif before == STAT_GOT_IP:
                chip.event("wifi left")

    def disconnect(self):
        WLAN._wanted = None
        WLAN.weather()

    def isconnected(self):
        chip.poll()
        if self._interface == self.IF_AP:
            return False
        return WLAN._status == STAT_GOT_IP

    def status(self, what=None):
        chip.poll()
        if what == "rssi":
            if WLAN._status != STAT_GOT_IP:
                raise OSError("STA not connected")
            return Air.found[2]
        if what == "stations":
            return []
        return WLAN._status

    def scan(self):
        chip.poll()
        found = Air.found
        if found is None:
            return []
        name = found[0] or "any"
        return [(name.encode(), b"\x02\0\0\0\0\1", 1, found[2], AUTH_WPA2_PSK, False)]

    def config(self, *names, **values):
        if names:
            return chip.mac if names[0] == "mac" else WLAN._config.get(names[0])
        WLAN._config.update(values)
        name = values.get("ssid", values.get("essid"))
        if self._interface == self.IF_AP and name is not None:
            key = values.get("key", values.get("password", ""))
            if values.get("security", values.get("authmode", 0)) and len(key) < 8:
                raise OSError("Wifi Invalid Password")
            chip.event("ap %s %s" % (escape(name), escape(key)))
        return None

    def ifconfig(self, *settings):
        if self._interface == self.IF_AP:
            return ("192.168.4.1", "255.255.255.0", "192.168.4.1", "0.0.0.0")
        return ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")

    def ipconfig(self, *names, **values):
        return self.ifconfig()[:2] if names == ("addr4",) else None


def hostname(name=None):
    return "ks"


def country(code=None):
    return "XX"


chip.on("wifi", Air.control)
