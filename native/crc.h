#ifndef CRC_H
#define CRC_H
#include <stddef.h>
#include "memory.h"

/** Whether the processor has the instruction. */
int has_crc32c(void);

/** Continues a CRC-32C over n bytes. */
u32 crc32c(const uint8_t *bytes, size_t n, u32 crc);
#endif
