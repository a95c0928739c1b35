// Tells AddressSanitizer which bytes of our own allocators (arena, pool) nobody owns just now, so that a use after give
// or reset is found as a use after free is. Without the sanitizer these are nothing.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define ASAN_ON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN_ON 1
#endif
#endif

#ifdef ASAN_ON
#include <stddef.h>
// Declared here, since <sanitizer/asan_interface.h> comes with a compiler's runtime and clang's is often not installed.
void __asan_poison_memory_region(void const volatile *memory, size_t bytes);
void __asan_unpoison_memory_region(void const volatile *memory, size_t bytes);
#define ASAN_HIDE(memory, bytes) __asan_poison_memory_region((memory), (bytes))
#define ASAN_SHOW(memory, bytes) __asan_unpoison_memory_region((memory), (bytes))
#else
#define ASAN_HIDE(memory, bytes) ((void)(memory), (void)(bytes))
#define ASAN_SHOW(memory, bytes) ((void)(memory), (void)(bytes))
#endif
