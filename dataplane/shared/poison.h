/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is free but still ours: pools and free lists hide a use after free from AddressSanitizer, unless
 * they say what is free. In other builds these do nothing.
 */
#ifndef GREYLINE_SHARED_POISON_H
#define GREYLINE_SHARED_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define POISON_IS_ON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_IS_ON 1
#endif
#endif

#ifdef POISON_IS_ON
#include <sanitizer/asan_interface.h>
#define POISON(memory, bytes)   ASAN_POISON_MEMORY_REGION(memory, bytes)
#define UNPOISON(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define POISON(memory, bytes)   ((void)(memory))
#define UNPOISON(memory, bytes) ((void)(memory))
#endif

#endif
