/* SPDX-License-Identifier: Apache-2.0 */
/* Sequence number arithmetic modulo 2^32 (RFC 9293 3.4), also used for millisecond times that wrap. */
#ifndef GREYLINE_TCP_SEQ_H
#define GREYLINE_TCP_SEQ_H

#include <stdint.h>

#define SEQ_BEFORE(a, b)    ((int32_t)((uint32_t)(a) - (uint32_t)(b)) < 0)
#define SEQ_AFTER(a, b)     SEQ_BEFORE(b, a)
#define SEQ_BEFORE_EQ(a, b) (!SEQ_BEFORE(b, a))
#define SEQ_AFTER_EQ(a, b)  (!SEQ_BEFORE(a, b))
#define SEQ_MIN(a, b)       (SEQ_BEFORE(a, b) ? (a) : (b))
#define SEQ_MAX(a, b)       (SEQ_BEFORE(a, b) ? (b) : (a))

#endif
