// Turns a seed or a regression that is described in words into the bytes it stands for: seed IN.txt OUT
//   # to the end of the line   12: one byte   w300: two, d300: four, q300: eight bytes, the highest first
//   "text\r\n" with \\ \" \r \n   x0aff: bytes in hex
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int bad(const char *path, const char *word) {
    fprintf(stderr, "%s: not understood: %.20s\n", path, word);
    return 1;
}

int main(int argc, char **argv) {
    static char text[1 << 20];
    FILE *in = argc == 3 ? fopen(argv[1], "r") : NULL, *out = argc == 3 ? fopen(argv[2], "w") : NULL;
    if (in == NULL || out == NULL) return bad(argc > 1 ? argv[1] : "seed", "usage: seed IN.txt OUT");
    text[fread(text, 1, sizeof text - 1, in)] = 0;
    fclose(in);
    for (char *at = text; *at != 0;) {
        if (isspace((unsigned char)*at)) {
            at++;
        } else if (*at == '#') {
            at += strcspn(at, "\n");
        } else if (*at == '"') {
            for (at++; *at != '"'; at++) {
                if (*at == 0) return bad(argv[1], "a text without an end");
                char c = *at;
                if (c == '\\') c = *++at == 'n' ? '\n' : *at == 'r' ? '\r' : *at;
                fputc(c, out);
            }
            at++;
        } else if (*at == 'x') {
            for (at++; isxdigit((unsigned char)at[0]) && isxdigit((unsigned char)at[1]); at += 2) {
                char digits[3] = {at[0], at[1], 0};
                fputc((int)strtoul(digits, NULL, 16), out);
            }
        } else {
            int bytes = *at == 'w' ? 2 : *at == 'd' ? 4 : *at == 'q' ? 8 : 1;
            char *end;
            const char *digits = bytes == 1 ? at : at + 1;
            unsigned long long value = strtoull(digits, &end, 10);
            if (end == digits) return bad(argv[1], at);
            for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) fputc((int)(value >> shift & 255), out);
            at = end;
        }
    }
    return fclose(out) != 0;
}
