// CRC-32C (Castagnoli, reflected 0x82f63b78), RFC 3720 B.4. Uses SSE4.2 or ARMv8 instructions where the CPU has them.
#pragma once
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len);          // start with 0; chainable
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len); // the fallback, public so that tests compare both
