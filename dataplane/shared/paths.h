/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies where. The run directory (--run-dir, default /run/greyline) holds what lives as long as the
 * machine runs; the state directory (--state-dir, default /var/lib/greyline) what must outlive it.
 */
#ifndef GREYLINE_SHARED_PATHS_H
#define GREYLINE_SHARED_PATHS_H

#define PATHS_RUN_DIR   "/run/greyline"
#define PATHS_STATE_DIR "/var/lib/greyline"
#define PATHS_KEYS_DIR  "/run/greyline-keys" /* keys.h: of greyline-keys alone */

/* In the run directory. */
#define PATHS_LINK         "link"         /* link.h */
#define PATHS_GREY_TABLE   "grey"         /* grey_table.h */
#define PATHS_CLIENT_TABLE "client"       /* client_table.h */
#define PATHS_ADMIN_SOCKET "admin.sock"   /* greylinectl */

/* In the state directory. */
#define PATHS_SECRET   "secret"           /* 32 bytes, mode 0400, the same on every node of a cluster */
#define PATHS_IMAGES   "policy"           /* directory: N.yaml, N.image, N.json (who, when), current.image */
#define PATHS_SNAPSHOT "grey.snapshot"
#define PATHS_JOURNAL  "journal.sqlite"

#endif
