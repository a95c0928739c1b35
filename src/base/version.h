// The one place that holds the release's number. It is what `parley --version`, the protocols' greetings and the
// journal's header say.
#pragma once

#define PARLEY_VERSION "0.1.0"
