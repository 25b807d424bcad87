/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One written value to one number, address or name. Pure functions: no memory, no errors of their own; the
 * caller says what was expected. Every function returns false, outputs untouched, for what it cannot read.
 */
#ifndef GREYLINE_CONTROL_POLICY_VALUE_H
#define GREYLINE_CONTROL_POLICY_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"

/* true, false, yes, no, on, off. */
bool value_bool(const char *text, bool *ret);

/* A whole number in decimal, perhaps with a sign. */
bool value_integer(const char *text, int64_t *ret);

/* A whole number, perhaps in thousands: 5000, 5k, 20M, 1G. */
bool value_count(const char *text, int64_t *ret);

/* Bytes: 4096, 64kB, 20MB, 1GB (1 kB is 1024 bytes). */
bool value_size(const char *text, int64_t *ret);

/* A time: 500ms, 30s, 4m, 2h, 36d, or 0. Milliseconds. */
bool value_duration(const char *text, int64_t *ret_ms);

/* A host name in ASCII, written in lower case to buf of at least 254 bytes. */
bool value_hostname(const char *text, char *buf);

/* A name of our own: letters, digits, '-', '_', '.', at most 63, beginning with a letter or digit. */
bool value_is_name(const char *text);

/* Only printable ASCII, at most max characters, at least one. */
bool value_is_ascii(const char *text, size_t max);

/* An address with the length of its network: 198.18.0.25/16. The prefix counts in 128 bits. */
bool value_interface(const char *text, struct addr *ret, uint8_t *ret_prefix_len);

/* "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353". */
bool value_address_port(const char *text, uint16_t port_default, struct addr *ret, uint16_t *ret_port);

/* "127.0.0.2", "127.0.0.2-11" (last byte) or "127.0.0.2-127.0.0.11", inside 127.0.0.0/8; host order. */
bool value_codes(const char *text, uint32_t *ret_from, uint32_t *ret_to);

/* An enhanced status code such as 4.7.1. */
bool value_enhanced(const char *text, uint8_t ret[3]);

/* How many letters must change to make a of b, at most limit + 1. For "did you mean". */
unsigned value_distance(const char *a, const char *b, unsigned limit);

#endif
