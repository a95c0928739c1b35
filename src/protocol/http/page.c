// The page: files of page/, put into the binary by the assembler (Makefile: this object is made anew when one changes).
// Nothing in it may run that is not one of these files.
#include "protocol/http/internal.h"
#include <string.h>

#define FILE_BYTES(symbol, path)                                                                                       \
    __asm__(".pushsection .rodata\n" #symbol ":\n.incbin \"src/protocol/http/page/" path "\"\n" #symbol                \
            "_end:\n.popsection\n");                                                                                   \
    extern const uint8_t symbol[] __attribute__((visibility("hidden")));                                               \
    extern const uint8_t symbol##_end[] __attribute__((visibility("hidden")))

FILE_BYTES(http_page_html, "index.html");
FILE_BYTES(http_page_css, "page.css");
FILE_BYTES(http_page_js, "page.js");
FILE_BYTES(http_page_icon, "icon.svg");

static const struct {
    const char *path, *type;
    const uint8_t *data, *end;
} files[] = {{"/", "text/html; charset=utf-8", http_page_html, http_page_html_end},
             {"/page.css", "text/css; charset=utf-8", http_page_css, http_page_css_end},
             {"/page.js", "text/javascript; charset=utf-8", http_page_js, http_page_js_end},
             {"/icon.svg", "image/svg+xml", http_page_icon, http_page_icon_end}};

static const char headers[] =
    "Content-Security-Policy: default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n"
    "Referrer-Policy: no-referrer\r\nVary: Accept\r\n";

bool http_page(struct http_connection *c, const struct http_request *request) {
    size_t i = 0;
    while (i < sizeof files / sizeof files[0] && strcmp(files[i].path, request->path) != 0) i++;
    if (i == sizeof files / sizeof files[0]) return false;
    bool document = i == 0;
    if (document && strstr(request->accept, "text/html") == NULL) return false; // curl gets the list of paths
    // A link on another site may lead here; it sees nothing of what it opened.
    struct http_request asked = *request;
    if (document) asked.fetch_site = "";
    const char *refusal = http_may_not_look(c, &asked);
    if (refusal != NULL)
        http_answer_error(c, 403, "%s", refusal);
    else
        http_answer_with(c, 200, files[i].type, bytes_of(files[i].data, (size_t)(files[i].end - files[i].data)),
                         headers);
    return true;
}
