"""What the objects of a chip's own modules have: no application may give these names away.

From the stubs of the ESP32 port (`make typings`), with which a test compares. They count where an
application imports one of the modules: on a computer it is spared them.
"""

from typing import Final

MODULES: Final = frozenset((
    "dht", "esp", "esp32", "framebuf", "machine", "micropython", "neopixel", "network", "onewire",
    "tls", "vfs",
))  # fmt: skip
# Of these, the ones that a computer's MicroPython does not have, or an application does not import
# there.
OF_CHIPS: Final = MODULES - {"micropython", "tls", "vfs"}

_TEXT: Final = (
    "ADC ADCBlock ADCWiPy ALARM0 ALT ALT_OPEN_DRAIN ANALOG AP_IF ATTN_0DB ATTN_11DB ATTN_2_5DB "
    "ATTN_6DB AUTH_CHAP AUTH_MAX AUTH_NONE AUTH_OPEN AUTH_OWE AUTH_PAP AUTH_WAPI_PSK AUTH_WEP "
    "AUTH_WPA2_ENTERPRISE AUTH_WPA2_PSK AUTH_WPA2_WPA3_PSK AUTH_WPA3_ENT_192 AUTH_WPA3_EXT_PSK "
    "AUTH_WPA3_EXT_PSK_MIXED_MODE AUTH_WPA3_PSK AUTH_WPA_PSK AUTH_WPA_WPA2_PSK AbstractBlockDev "
    "AbstractNIC BANDWIDTH_160 BANDWIDTH_20 BANDWIDTH_40 BANDWIDTH_80 BANDWIDTH_80_80 BOOT "
    "CERT_NONE CERT_OPTIONAL CERT_REQUIRED CONTROLLER CORE_TEMP CORE_VBAT CORE_VREF CTS Const_T "
    "Counter DAC DECREMENT DEEPSLEEP DEEPSLEEP_RESET DHT11 DHT22 DHTBase DOWN DRIVE_0 DRIVE_1 "
    "DRIVE_2 DRIVE_3 ETH_CONNECTED ETH_DISCONNECTED ETH_GOT_IP ETH_INITIALIZED ETH_STARTED "
    "ETH_STOPPED EXT0_WAKE EXT1_WAKE Encoder FALLING FrameBuffer FrameBuffer1 GS2_HMSB GS4_HMSB "
    "GS8 HARD_RESET HEAP_DATA HEAP_EXEC HOLD I2C I2S IDLE ID_T IF_AP IF_STA IGNORE IN INCREMENT "
    "INV_CTS INV_RTS INV_RX INV_TX IRQ_BREAK IRQ_FALLING IRQ_HIGH_LEVEL IRQ_INDEX IRQ_LOW_LEVEL "
    "IRQ_MATCH IRQ_MAX IRQ_MIN IRQ_RESET IRQ_RISING IRQ_ROLL_OVER IRQ_ROLL_UNDER IRQ_RX "
    "IRQ_RXIDLE IRQ_THRESHOLD0 IRQ_THRESHOLD1 IRQ_TXIDLE IRQ_ZERO LAN LOG_DEBUG LOG_ERROR "
    "LOG_INFO LOG_NONE LOG_VERBOSE LOG_WARNING LSB MATCH_ROM MBEDTLS_VERSION MODE_11B MODE_11G "
    "MODE_11N MODE_LR MONO MONO_HLSB MONO_HMSB MONO_VLSB MSB MVLSB NORMAL NVS NeoPixel ONE_SHOT "
    "OPEN_DRAIN ORDER OUT OneWire OneWireError PCNT PERIODIC PHY_DM9051 PHY_DP83848 PHY_GENERIC "
    "PHY_IP101 PHY_KSZ8041 PHY_KSZ8081 PHY_KSZ8851SNL PHY_LAN8670 PHY_LAN8710 PHY_LAN8720 "
    "PHY_RTL8201 PHY_W5500 PIN_WAKE PM_NONE PM_PERFORMANCE PM_POWERSAVE PPP PROTOCOL_DEFAULT "
    "PROTOCOL_DTLS_CLIENT PROTOCOL_DTLS_SERVER PROTOCOL_LR PROTOCOL_TLS_CLIENT "
    "PROTOCOL_TLS_SERVER PULL_DOWN PULL_HOLD PULL_UP PULSE_MAX PWM PWRON_RESET Partition Pin "
    "RESERVE_MEM REVERSE RGB565 RISING RMT RTC RTC_WAKE RTS RUNNING RX RingIO SDCard SEARCH_ROM "
    "SEC_CHAP SEC_DPP SEC_NONE SEC_OPEN SEC_OWE SEC_PAP SEC_WAPI SEC_WEP SEC_WPA SEC_WPA2 "
    "SEC_WPA2_ENT SEC_WPA2_WPA3 SEC_WPA2_WPA3_ENT SEC_WPA3 SEC_WPA3_ENT SEC_WPA3_ENT_192 "
    "SEC_WPA3_EXT_PSK SEC_WPA3_EXT_PSK_MIXED_MODE SEC_WPA_ENT SEC_WPA_WPA2 SKIP_ROM SLEEP "
    "SLEEP_LIGHT SLEEP_MODEM SLEEP_NONE SOFT_RESET SPI SSLContext STAT_ASSOC_FAIL "
    "STAT_BEACON_TIMEOUT STAT_CONNECTING STAT_CONNECT_FAIL STAT_GOT_IP STAT_HANDSHAKE_TIMEOUT "
    "STAT_IDLE STAT_NO_AP_FOUND STAT_NO_AP_FOUND_IN_AUTHMODE_THRESHOLD "
    "STAT_NO_AP_FOUND_IN_RSSI_THRESHOLD STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY "
    "STAT_WRONG_PASSWORD STA_IF STEREO Signal SoftI2C SoftSPI TIMER_WAKE TOUCHPAD_WAKE TX "
    "TYPE_APP TYPE_DATA Timer TouchPad UART ULP ULP_WAKE UP VREF VfsFat VfsLfs2 WAKEUP_ALL_LOW "
    "WAKEUP_ANY_HIGH WAKE_HIGH WAKE_LOW WDT WDT_RESET WIDTH_10BIT WIDTH_11BIT WIDTH_12BIT "
    "WIDTH_13BIT WIDTH_9BIT WLAN WLANWiPy WLAN_WAKE active alarm alloc_emergency_exception_buf "
    "antenna any asm_thumb asm_xtensa atten auth bitstream bitstream_channel bitstream_rmt blit "
    "block board bpp buf channel chdir clock_div close commit config connect const country crc8 "
    "csi_available csi_disable csi_dropped csi_enable csi_read datetime deepsleep deinit "
    "dht_readinto disable_irq disconnect drive duty duty_ns duty_u16 ellipse enable_irq erase_key "
    "feed fill fill_rect find flash_erase flash_read flash_size flash_user_start flash_write "
    "flush freq get_blob get_ciphers get_i32 get_next_update getcwd gpio_matrix_in "
    "gpio_matrix_out heap_lock heap_unlock hline hostname humidity idf_heap_info idle ifconfig "
    "ilistdir info init ioctl ipconfig irq isconnected kbd_intr lightsleep line load_binary "
    "load_cert_chain load_verify_locations loop loop_count mac mark_app_valid_cancel_rollback "
    "measure mem16 mem32 mem8 mem_backup mem_info memory mkdir mkfs mode mount n native off on "
    "open opt_level osdebug phases phy_mode pin pixel poll poly pull qstr_info raw_temperature "
    "read read_u16 read_uv readbit readblocks readbyte readfrom readfrom_into readfrom_mem "
    "readfrom_mem_into readinto readline rect remove rename reset reset_cause rmdir rom_ioctl run "
    "scan schedule scroll select_rom sendbreak set_blob set_boot set_ciphers set_i32 "
    "set_native_code_location set_wakeup_period shift sleep sleep_type soft_reset source_freq "
    "ssid stack_use start stat status statvfs stop temperature text time_pulse_us timing toggle "
    "txdone umount unique_id value viper vline wait_done wake_on_ext0 wake_on_ext1 wake_on_gpio "
    "wake_on_touch wake_on_ulp wake_pins wake_reason width wrap_socket write write_pulses "
    "write_readinto writebit writeblocks writebyte writeto writeto_mem writevto "
)
# `mcu_temperature` is on the ESP32-S3 and -C3; the stubs are the first ESP32's.
NAMES: Final = frozenset(_TEXT.split()) | {"mcu_temperature"}
