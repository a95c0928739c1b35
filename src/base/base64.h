// Base64 (RFC 4648, section 4, padded): bytes that are no text, in JSON.
#pragma once
#include "base/bytes.h"

#define BASE64_LENGTH(len) (((len) + 2) / 3 * 4) // of so many bytes

void base64_write(struct writer *w, struct bytes bytes);
bool base64_read(struct writer *w, struct bytes text); // false: it is none; w holds a part then
