/* SPDX-License-Identifier: Apache-2.0 */
#include "control/log/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct version {
        uint32_t generation; /* 0: unused */
        char *zones[IMAGE_ZONES_MAX];
        char **policies;
        uint32_t policies_used;
};

struct log_names {
        struct version versions[LOG_NAMES_VERSIONS_MAX];
        uint32_t next; /* the oldest */
};

struct log_names *log_names_new(void)
{
        return calloc(1, sizeof(struct log_names));
}

static void version_done(struct version *version)
{
        for (uint32_t i = 0; i < IMAGE_ZONES_MAX; i++)
                free(version->zones[i]);
        for (uint32_t i = 0; i < version->policies_used; i++)
                free(version->policies[i]);
        free(version->policies);
        memset(version, 0, sizeof(*version));
}

void log_names_free(struct log_names *names)
{
        if (names == NULL)
                return;
        for (uint32_t i = 0; i < LOG_NAMES_VERSIONS_MAX; i++)
                version_done(&names->versions[i]);
        free(names);
}

static const struct version *find(const struct log_names *names, uint32_t generation)
{
        for (uint32_t i = 0; i < LOG_NAMES_VERSIONS_MAX; i++) {
                if (generation != 0 && names->versions[i].generation == generation)
                        return &names->versions[i];
        }
        return NULL;
}

int log_names_add(struct log_names *names, const struct image *image)
{
        struct version made = { .generation = image->generation };
        int r = -ENOMEM;

        if (find(names, image->generation))
                return 0;
        for (uint32_t i = 0; i < image->zones.count; i++) {
                const struct image_zone *zone = image_zone(image, i);

                made.zones[zone->number] = strdup(image_string(image, zone->name));
                if (made.zones[zone->number] == NULL)
                        goto out;
        }
        made.policies = calloc(MAX(image->policies.count, 1u), sizeof(char *));
        if (made.policies == NULL)
                goto out;
        for (uint32_t i = 0; i < image->policies.count; i++) {
                made.policies[i] = strdup(image_string(image, image_policy(image, i)->name));
                if (made.policies[i] == NULL)
                        goto out;
                made.policies_used++;
        }
        version_done(&names->versions[names->next]);
        names->versions[names->next] = made;
        names->next = (names->next + 1) % LOG_NAMES_VERSIONS_MAX;
        return 0;
out:
        version_done(&made);
        return r;
}

const char *log_names_zone(const struct log_names *names, uint32_t version, uint32_t zone)
{
        const struct version *found = find(names, version);

        return found && zone < IMAGE_ZONES_MAX ? found->zones[zone] : NULL;
}

const char *log_names_policy(const struct log_names *names, uint32_t version, uint32_t policy)
{
        const struct version *found = find(names, version);

        return found && policy < found->policies_used ? found->policies[policy] : NULL;
}
