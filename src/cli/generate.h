// Texts for packages that follow from the tables of settings and commands. A test compares them with the files in docs/
// and packaging/.
#pragma once
#include "base/bytes.h"

bool generate_write(const char *what, struct writer *w); // "settings", "bash", "zsh", "man"; false: unknown
