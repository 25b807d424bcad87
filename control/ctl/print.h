/* SPDX-License-Identifier: Apache-2.0 */
/* How each command's result is shown to people. */
#ifndef GREYLINE_CONTROL_CTL_PRINT_H
#define GREYLINE_CONTROL_CTL_PRINT_H

#include <jansson.h>
#include <stdio.h>

typedef void (*ctl_print_fn)(FILE *out, const json_t *result);

void ctl_print_object(FILE *out, const json_t *result);
void ctl_print_push(FILE *out, const json_t *result);
void ctl_print_versions(FILE *out, const json_t *result);
void ctl_print_yaml(FILE *out, const json_t *result);
void ctl_print_grey_list(FILE *out, const json_t *result);
void ctl_print_client(FILE *out, const json_t *result);
void ctl_print_zones(FILE *out, const json_t *result);
void ctl_print_backends(FILE *out, const json_t *result);
void ctl_print_explain(FILE *out, const json_t *result);
void ctl_print_counters(FILE *out, const json_t *result);

/* A text without control characters (newlines and tabs are kept). */
void ctl_print_safe(FILE *out, const char *text);

#endif
