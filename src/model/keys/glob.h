// Redis's patterns: * ? [a-z] [^a] \x, byte by byte.
#pragma once
#include "base/bytes.h"

bool glob_match(struct bytes pattern, struct bytes text);
