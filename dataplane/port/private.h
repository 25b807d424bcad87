/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of port/ share with each other and with nobody else. */
#ifndef GREYLINE_PORT_PRIVATE_H
#define GREYLINE_PORT_PRIVATE_H

#include "dataplane/port/port.h"

/* Write the line and return the error: for `return port_fail(...)`. */
PRINTF(3, 4) int port_fail(char reterr[PORT_ERROR_MAX], int error, const char *format, ...);

/* Is it "01:00.0" or "0000:01:00.0", with or without arguments? */
bool port_device_is_pci(const char *device);

/* The EAL's name of a device string: up to the first comma, a PCI address with its domain. Returns 0 or -EINVAL. */
int port_device_name(const char *device, char ret[PORT_DEVICE_MAX]);

/* The value of "key=" in a device string, in ret of `size`; "" when there is none. */
void port_device_argument(const char *device, const char *key, char *ret, size_t size);

/*
 * The kernel sockets that feed the queues, for drivers that have them, into port->rx_fd in the order of the queues.
 * device: the whole device string. Where they cannot be told apart for certain, none is set.
 */
void port_sockets_find(struct port *port, const char *device);

#endif
