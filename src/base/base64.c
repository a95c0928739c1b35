#include "base/base64.h"

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(struct writer *w, struct bytes bytes) {
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t three = (uint32_t)bytes.data[i] << 16;
        if (left > 1) three |= (uint32_t)bytes.data[i + 1] << 8;
        if (left > 2) three |= bytes.data[i + 2];
        write_u8(w, (uint8_t)alphabet[three >> 18]);
        write_u8(w, (uint8_t)alphabet[three >> 12 & 63]);
        write_u8(w, left > 1 ? (uint8_t)alphabet[three >> 6 & 63] : '=');
        write_u8(w, left > 2 ? (uint8_t)alphabet[three & 63] : '=');
    }
}

static int value_of(uint8_t c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_read(struct writer *w, struct bytes text) {
    if (text.len % 4 != 0) return false;
    for (size_t i = 0; i < text.len; i += 4) {
        const uint8_t *at = text.data + i;
        size_t padding = i + 4 < text.len || at[3] != '=' ? 0 : at[2] != '=' ? 1 : 2;
        uint32_t four = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k < 4 - padding ? value_of(at[k]) : 0;
            if (value < 0) return false;
            four = four << 6 | (uint32_t)value;
        }
        if ((four & ((1u << 8 * padding) - 1)) != 0) return false; // one text for each content
        write_u8(w, (uint8_t)(four >> 16));
        if (padding < 2) write_u8(w, (uint8_t)(four >> 8));
        if (padding < 1) write_u8(w, (uint8_t)four);
    }
    return true;
}
