/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /metrics in the Prometheus text form (version 0.0.4), and /healthz. The workers' counters come from the one
 * list counters.def; control adds its own. Reads only; a few hundred microseconds.
 */
#ifndef GREYLINE_CONTROL_METRICS_H
#define GREYLINE_CONTROL_METRICS_H

#include <stdio.h>

#include "control/control.h"

/* An http_fn; arg is the struct control. */
void metrics_answer(void *arg, const char *path, struct http_answer *ret);

/*
 * Should new clients be sent here? Returns NULL when so, else why not, in a few words.
 */
const char *metrics_unhealthy(const struct control *control);

/*
 * Write a page's counters. names are in lower case; "total" ones get the suffix _total. Apart from the page
 * it needs nothing, so that a test can read what it wrote.
 */
void metrics_write_workers(FILE *out, const struct link_page *page, uint32_t workers);

/* One sample with its HELP and TYPE. type: "counter" (name ends in _total) or "gauge". */
void metrics_write(FILE *out, const char *name, const char *type, const char *help, uint64_t value);

/* A label's value with the escapes of the text form, in quotes. */
void metrics_write_label(FILE *out, const char *text);

#endif
