/* SPDX-License-Identifier: Apache-2.0 */
#include "control/metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool is_total(const char *unit)
{
        return strcmp(unit, "total") == 0;
}

void metrics_write(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
        fprintf(out, "# HELP greyline_%s %s\n# TYPE greyline_%s %s\ngreyline_%s %" PRIu64 "\n", name, help,
                name, type, name, value);
}

void metrics_write_label(FILE *out, const char *text)
{
        fputc('"', out);
        for (; *text; text++) {
                if (*text == '\n')
                        fputs("\\n", out);
                else if (*text == '"' || *text == '\\')
                        fprintf(out, "\\%c", *text);
                else
                        fputc(*text, out);
        }
        fputc('"', out);
}

void metrics_write_workers(FILE *out, const struct link_page *page, uint32_t workers)
{
        for (uint32_t i = 0; i < COUNTER_USED; i++) {
                const struct counter_info *info = &counter_infos[i];
                const char *suffix = is_total(info->unit) ? "_total" : "";

                fprintf(out, "# HELP greyline_%s%s %s\n# TYPE greyline_%s%s %s\n", info->name, suffix,
                        info->help, info->name, suffix, is_total(info->unit) ? "counter" : "gauge");
                for (uint32_t worker = 0; worker < workers; worker++)
                        fprintf(out, "greyline_%s%s{worker=\"%u\"} %" PRIu64 "\n", info->name, suffix, worker,
                                __atomic_load_n(&page->counters[worker][i], __ATOMIC_RELAXED));
        }
}

static void write_backends(FILE *out, const struct link_page *page)
{
        uint32_t backends = MIN(atomic_load(&page->backends), LINK_BACKENDS_MAX);
        static const struct {
                const char *name, *type, *help;
        } rows[] = {
                { "backend_up", "gauge", "1 when the backend answers its health check" },
                { "backend_sessions", "gauge", "sessions open to the backend now" },
                { "backend_transactions_total", "counter", "messages the backend accepted" },
        };

        for (unsigned row = 0; row < ARRAY_LEN(rows); row++) {
                fprintf(out, "# HELP greyline_%s %s\n# TYPE greyline_%s %s\n", rows[row].name, rows[row].help,
                        rows[row].name, rows[row].type);
                for (uint32_t i = 0; i < backends; i++) {
                        const struct link_backend *backend = &page->backend[i];
                        char addr[ADDR_TEXT_MAX];
                        const uint64_t values[] = { atomic_load(&backend->state) == LINK_BACKEND_UP,
                                                    atomic_load(&backend->sessions),
                                                    atomic_load(&backend->transactions) };

                        fprintf(out, "greyline_%s{backend=\"%s\",port=\"%u\",pool=\"%u\"} %" PRIu64 "\n",
                                rows[row].name, addr_text(&backend->addr, addr), backend->port, backend->pool,
                                values[row]);
                }
        }
}

enum zone_row {
        ZONE_ROW_UP,
        ZONE_ROW_QUERIES,
        ZONE_ROW_LISTED,
        ZONE_ROW_UNIQUE,
        ZONE_ROW_FAILED,
};

static uint64_t zone_value(const struct dns *dns, uint32_t number, enum zone_row row)
{
        const struct dns_zone *zone = dns_list_zone(dns, number);
        const uint64_t *readings = zone->stats.readings;

        switch (row) {
        case ZONE_ROW_UP:
                return dns_zone_is_up(zone);
        case ZONE_ROW_QUERIES:
                return zone->stats.queries;
        case ZONE_ROW_LISTED:
                return dns_list_stats(dns, number)->hits;
        case ZONE_ROW_UNIQUE:
                return dns_list_stats(dns, number)->unique_hits;
        case ZONE_ROW_FAILED:
                break;
        }
        return readings[DNS_READING_ODD] + readings[DNS_READING_LIE] + readings[DNS_READING_TIMEOUT] +
               readings[DNS_READING_FAILED];
}

static void write_zone(FILE *out, const struct dns *dns, const struct image *image, uint32_t number,
                       const char *name, enum zone_row row)
{
        const struct image_zone *list = image_lookup_zone(image, number);

        if (list == NULL || dns_list_at(dns, number) == NULL)
                return;
        fprintf(out, "greyline_%s{zone=", name);
        metrics_write_label(out, image_string(image, list->name));
        fprintf(out, "} %" PRIu64 "\n", zone_value(dns, number, row));
}

static void write_zones(FILE *out, const struct dns *dns, const struct image *image)
{
        static const struct {
                const char *name, *type, *help;
        } rows[] = {
                [ZONE_ROW_UP] = { "zone_up", "gauge", "1 when the zone is asked and believed" },
                [ZONE_ROW_QUERIES] = { "zone_queries_total", "counter", "questions to the zone's domain" },
                [ZONE_ROW_LISTED] = { "zone_hits_total", "counter", "answers that list the client" },
                [ZONE_ROW_UNIQUE] = { "zone_unique_hits_total", "counter",
                                      "hits of clients on no other list" },
                [ZONE_ROW_FAILED] = { "zone_failed_total", "counter", "questions without a usable answer" },
        };

        for (unsigned row = 0; row < ARRAY_LEN(rows); row++) {
                fprintf(out, "# HELP greyline_%s %s\n# TYPE greyline_%s %s\n", rows[row].name, rows[row].help,
                        rows[row].name, rows[row].type);
                for (uint32_t number = 0; number < IMAGE_ZONES_MAX; number++)
                        write_zone(out, dns, image, number, rows[row].name, row);
        }
}

static void write_dns(FILE *out, const struct dns *dns)
{
        const struct dns_counters *counters = dns_counters(dns);

        metrics_write(out, "dns_asked_total", "counter", "questions of workers about clients",
                      counters->asked);
        metrics_write(out, "dns_from_table_total", "counter", "answered from the client table at once",
                      counters->from_table);
        metrics_write(out, "dns_joined_total", "counter", "joined a question that was open already",
                      counters->joined);
        metrics_write(out, "dns_finished_total", "counter", "clients about whom everything was answered",
                      counters->finished);
        metrics_write(out, "dns_deadline_total", "counter",
                      "clients answered at the deadline with what there was", counters->deadline);
        metrics_write(out, "dns_shed_total", "counter", "questions refused by a bound",
                      counters->shed_full + counters->shed_share + counters->shed_askers);
        metrics_write(out, "dns_invalid_total", "counter", "messages of workers that are no question",
                      counters->invalid);
        metrics_write(out, "dns_queries_total", "counter", "DNS questions sent", counters->queries);
        metrics_write(out, "dns_malformed_total", "counter", "DNS answers that could not be read",
                      counters->malformed);
        metrics_write(out, "dns_open", "gauge", "clients with an open question", counters->open_now);
        metrics_write(out, "dns_in_flight", "gauge", "DNS questions without a reply",
                      counters->in_flight_now);
}

static void write_link(FILE *out, const struct control *control)
{
        const struct control_link_stats *stats = control_link_stats(control->link);
        uint64_t age_ms = 0;
        enum control_link_state state =
            control_link_state(control->link, loop_now_ms(control->loop), &age_ms);

        metrics_write(out, "dataplane_up", "gauge", "1 when the dataplane's housekeeping turns",
                      state == CONTROL_LINK_ALIVE);
        metrics_write(out, "dataplane_beat_age_ms", "gauge", "since the last heartbeat of the dataplane",
                      age_ms);
        metrics_write(out, "dataplane_attached_total", "counter", "dataplanes that control attached to",
                      stats->attached);
        metrics_write(out, "ring_asks_total", "counter", "questions read from the rings", stats->asks);
        metrics_write(out, "ring_bad_total", "counter", "messages in the rings that were malformed",
                      stats->bad_asks + stats->bad_records);
        metrics_write(out, "ring_answers_total", "counter", "answers written to the rings", stats->answers);
        metrics_write(out, "ring_answers_dropped_total", "counter",
                      "answers without room or without a worker", stats->answers_dropped);
        metrics_write(out, "log_records_total", "counter", "records read from the rings", stats->records);
}

static void write_control(FILE *out, struct control *control)
{
        struct loop_stats loop = loop_stats(control->loop);
        struct admin_stats admin = admin_stats(control->admin);

        metrics_write(out, "policy_version", "gauge", "the policy in force", control->image->generation);
        metrics_write(out, "policy_pushes_total", "counter", "pushes and rollbacks", control->counts.pushes);
        metrics_write(out, "policy_pushes_failed_total", "counter",
                      "pushes that left the old policy in force", control->counts.pushes_failed);
        metrics_write(out, "control_longest_turn_us", "gauge",
                      "longest turn of control since the last reading", loop.longest_turn_us);
        metrics_write(out, "control_slow_turns_total", "counter", "turns of control longer than 20 ms",
                      loop.slow_turns);
        metrics_write(out, "control_turns_total", "counter", "turns of control", loop.turns);
        metrics_write(out, "control_started_seconds", "gauge", "when control started, since 1970",
                      control->started_sec);
        metrics_write(out, "admin_requests_total", "counter", "requests on the admin socket", admin.requests);
        metrics_write(out, "admin_bad_requests_total", "counter", "malformed ones among them",
                      admin.bad_requests);
        metrics_write(out, "log_lines_total", "counter", "lines written to the log", control->log.lines);
        metrics_write(out, "log_failures_total", "counter", "writes to the log that failed",
                      control->log.failures);
        metrics_write(out, "log_missing_total", "counter",
                      "records lost because the log could not be written", control->counts.log_missing);
        metrics_write(out, "log_shed_total", "counter", "refusals at connect beyond log.rate, not written",
                      control->counts.log_shed);
        metrics_write(out, "grey_fill_permille", "gauge", "used slots of the greylist; it is sized for 667",
                      grey_table_fill(&control->grey));
        metrics_write(out, "grey_entries", "gauge", "triplets the greylist is sized for",
                      grey_table_entries(&control->grey));
        metrics_write(out, "snapshots_total", "counter", "snapshots of the greylist written",
                      control->counts.snapshots);
        metrics_write(out, "snapshots_failed_total", "counter", "snapshots that failed",
                      control->counts.snapshots_failed);
        if (control->journal) {
                struct journal_stats journal = journal_stats(control->journal);

                metrics_write(out, "journal_rows", "gauge", "triplets in the journal", journal.rows);
                metrics_write(out, "journal_dropped_total", "counter", "entries the journal lost",
                              journal.dropped);
        }
        loop_stats_reset_longest(control->loop);
}

const char *metrics_unhealthy(const struct control *control)
{
        const struct link_page *page = control_link_page(control->link);
        uint32_t backends;

        if (control->is_draining)
                return "draining";
        if (page == NULL ||
            control_link_state(control->link, loop_now_ms(control->loop), NULL) != CONTROL_LINK_ALIVE)
                return "no dataplane";
        if (!atomic_load(&page->ready))
                return "the dataplane is starting";
        backends = MIN(atomic_load(&page->backends), LINK_BACKENDS_MAX);
        for (uint32_t i = 0; i < backends; i++) {
                if (atomic_load(&page->backend[i].state) != LINK_BACKEND_DOWN)
                        return NULL;
        }
        return "no backend";
}

static void write_all(FILE *out, struct control *control)
{
        const struct link_page *page = control_link_page(control->link);

        if (page) {
                metrics_write_workers(out, page, control_link_workers(control->link));
                write_backends(out, page);
        }
        write_link(out, control);
        write_zones(out, control->dns, control->image);
        write_dns(out, control->dns);
        write_control(out, control);
}

void metrics_answer(void *arg, const char *path, struct http_answer *ret)
{
        struct control *control = arg;
        const char *why = NULL;
        bool is_health = strcmp(path, "/healthz") == 0;
        FILE *out;

        if (!is_health && strcmp(path, "/metrics") != 0)
                return;
        out = open_memstream(&ret->text, &ret->len);
        ret->status = 500;
        if (out == NULL)
                return;
        if (is_health) {
                why = metrics_unhealthy(control);
                fprintf(out, "%s\n", why ? why : "ok");
                ret->type = "text/plain";
        } else {
                write_all(out, control);
                ret->type = "text/plain; version=0.0.4; charset=utf-8";
        }
        if (fclose(out) == 0)
                ret->status = why ? 503 : 200;
}
