/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A main() for fuzz targets without libFuzzer: replay.c DIRECTORY... gives every file to the target as it is,
 * and then changed in a few hundred ways that are the same at every run. Finds what once was found, and says
 * which input it was at when the target dies (the last line on standard error).
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/shared/bug.h"

#define INPUT_MAX (1u << 20)
#define CHANGES   200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint32_t random_next(uint32_t *state)
{
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        return *state;
}

/* The target gets memory of exactly the length, so that a sanitizer sees a read beyond it. */
static void run(const uint8_t *data, size_t len)
{
        uint8_t *copy = calloc(1, len ? len : 1);

        if (!copy)
                exit(2);
        memcpy(copy, data, len);
        LLVMFuzzerTestOneInput(copy, len);
        free(copy);
}

static size_t change(uint8_t *data, size_t len, uint32_t *state)
{
        uint32_t at = len ? random_next(state) % (uint32_t)len : 0;
        uint32_t other = len ? random_next(state) % (uint32_t)len : 0;

        if (len == 0)
                return 0;
        switch (random_next(state) % 6) {
        case 0: /* a bit */
                data[at] ^= (uint8_t)(1u << (random_next(state) % 8));
                break;
        case 1: /* a byte */
                data[at] = (uint8_t)random_next(state);
                break;
        case 2: /* cut the end */
                return at;
        case 3: /* leave a piece out */
                memmove(data + at, data + MAX(at, other), len - MAX(at, other));
                return len - (MAX(at, other) - at);
        case 4: /* one piece over another */
                memmove(data + at, data + other, len - MAX(at, other));
                break;
        default: /* an extreme value */
                data[at] = random_next(state) % 2 ? 0xff : 0;
        }
        return len;
}

static int replay_file(const char *path)
{
        static uint8_t input[INPUT_MAX], changed[INPUT_MAX];
        FILE *file = fopen(path, "rb");
        size_t len;
        uint32_t state = 2463534242u;

        if (!file)
                return -1;
        len = fread(input, 1, sizeof(input), file);
        fclose(file);
        fprintf(stderr, "%s\n", path);
        run(input, len);
        for (unsigned i = 0; i < CHANGES; i++) {
                unsigned times = 1 + random_next(&state) % 4;
                size_t changed_len = len;

                memcpy(changed, input, len);
                while (times-- > 0)
                        changed_len = change(changed, changed_len, &state);
                run(changed, changed_len);
        }
        return 0;
}

int main(int argc, char **argv)
{
        unsigned count = 0;

        run((const uint8_t *)"", 0);
        for (int i = 1; i < argc; i++) {
                DIR *dir = opendir(argv[i]);
                const struct dirent *entry;

                while (dir && (entry = readdir(dir))) {
                        char path[4096];

                        if (entry->d_type != DT_REG)
                                continue;
                        snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
                        if (replay_file(path) < 0) {
                                perror(path);
                                return 2;
                        }
                        count++;
                }
                if (dir)
                        closedir(dir);
        }
        printf("%u inputs, each as it is and changed in %u ways\n", count, CHANGES);
        return count > 0 ? 0 : 1;
}
