// `parley template`: a small language that renders the registry into another program's configuration
// (template_render.c), and the file it is kept in (template.c).
//
//   {{range services "PREFIX"}} ... {{else}} ... {{end}}   for each service with instances; "PREFIX" may be left out
//   {{range instances "NAME"}} ... {{else}} ... {{end}}    for each instance that is passing and not draining; without
//                                                          a NAME, of the service of the range around it
//   {{range all "NAME"}} ... {{end}}                       for each instance, well or not
//   {{if FIELD}} ... {{else}} ... {{end}}                  FIELD is not empty, 0 or false
//   {{FIELD}}                                              what it says
//   {{# words}}                                            nothing
//
// A tag that stands alone on its line takes the line with it. In what fields say, each character but letters, digits
// and . _ - : / @ + , = % ~ [ ] becomes _: what an instance calls itself cannot break out of the text around it.
#pragma once
#include "base/bytes.h"
#include <jansson.h>

#define TEMPLATE_DEPTH_MAX 16u

struct template_source {                // where the data come from; the JSON is the renderer's to free
    json_t *(*services)(void *context); // array of {service, version}; NULL: it failed
    json_t *(*instances)(void *context, const char *service); // array as registry/show gives it; NULL: it failed
    void *context;
};
// false: error says why and in which line; empty when the source failed.
bool template_render(struct bytes text, const struct template_source *source, struct writer *out, char error[256]);
