/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work of every turn: questions of workers to DNS, answers back, log records into the file. Nothing here
 * waits; what does not fit into a turn is done in the next.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/control.h"
#include "control/store/redis.h"

#define ASKS_A_TURN    512u
#define RECORDS_A_TURN 256u
#define LOG_TURN_US    8000u /* of the LOOP_TURN_MAX_MS */

void control_say(const char *format, ...)
{
        va_list args;

        va_start(args, format);
        fputs("greyline-control: ", stderr);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
        va_end(args);
}

static uint64_t mono_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint32_t control_wall_sec(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (uint32_t)now.tv_sec;
}

struct dns_now control_now(const struct control *control)
{
        return (struct dns_now){ .mono_us = mono_us(), .wall_sec = control_wall_sec() };
}

/* ---- DNS -------------------------------------------------------------------------------------------- */

static void on_dns_timer(void *arg);

static void send_answers(struct control *control)
{
        struct dns_finished finished;

        while (dns_next_answer(control->dns, &finished)) {
                struct msg_answer answer = { .kind = MSG_ANSWER_CLIENT,
                                             .client = finished.client,
                                             .serial = finished.serial };

                control_link_answer(control->link, finished.worker, &answer);
        }
        control_link_flush(control->link);
}

static void dns_work(struct control *control)
{
        const char *event;
        int wait_ms;

        dns_turn(control->dns, control_now(control));
        send_answers(control);
        while ((event = dns_next_event(control->dns)) != NULL)
                control_say("%s", event);
        wait_ms = dns_timeout_ms(control->dns, control_now(control));
        if (wait_ms >= 0)
                loop_timer_start(control->loop, &control->dns_timer, (uint64_t)wait_ms, on_dns_timer,
                                 control);
        else
                loop_timer_stop(control->loop, &control->dns_timer);
}

static void on_dns_timer(void *arg)
{
        dns_work(arg);
}

static void on_dns_event(void *arg, int fd, uint32_t events)
{
        dns_work(arg);
}

/* ---- log records ------------------------------------------------------------------------------------ */

/* log.rate: refusals at connect beyond it are counted and not written; everything else always is. */
static bool is_shed(struct control *control, const struct msg_log *record)
{
        uint64_t now_sec = mono_us() / 1000000u;

        if (record->kind != MSG_LOG_CONNECT || control->image->log.rate == 0)
                return false;
        if (control->log_rate_sec != now_sec) {
                control->log_rate_sec = now_sec;
                control->log_rate_left = control->image->log.rate;
        }
        if (control->log_rate_left == 0)
                return true;
        control->log_rate_left--;
        return false;
}

/* Returns 0 when the record may leave its ring, or a negative errno when it should be tried again. */
static int write_record(struct control *control, const struct msg_log *record, struct json *json)
{
        int r;

        if (is_shed(control, record)) {
                control->counts.log_shed++;
                return 0;
        }
        json_reset(json);
        log_record_json(json, NULL, record, &control->log_context);
        json_newline(json);
        BUG_ON(json->len > LOG_RECORD_JSON_MAX);
        r = json->is_failed ? -ENOMEM : log_file_write(&control->log, json->text, json->len, 1);
        if (r < 0 && !control_link_log_is_pressing(control->link))
                return r;
        if (r < 0)
                control->counts.log_missing++;
        log_recent_add(control->recent, record);
        if (control->journal)
                journal_note(control->journal, record);
        return 0;
}

/*
 * Write records until there are none, the turn is used up, or the file refuses. Returns true when some are
 * left.
 */
static bool log_work(struct control *control)
{
        static struct msg_log record; /* one loop a process; too large for a quick stack */
        uint64_t begin_us = mono_us();
        bool is_left = false;
        struct json json;
        int before = control->log.last_error;

        if (begin_us / 1000u < control->log_retry_ms)
                return false;
        json_init(&json, LOG_RECORD_JSON_MAX + 1);
        for (uint32_t n = 0; control_link_next_log(control->link, &record); n++) {
                is_left = n >= RECORDS_A_TURN || mono_us() - begin_us > LOG_TURN_US;
                if (is_left)
                        break;
                if (write_record(control, &record, &json) < 0) {
                        control->log_retry_ms = begin_us / 1000u + CONTROL_LOG_RETRY_MS;
                        break;
                }
                control_link_log_done(control->link);
        }
        json_done(&json);
        if (control->log.last_error != before && control->log.last_error < 0)
                control_say("%s cannot be written: %s; records wait, and are counted when they are lost",
                            control->log.path, strerror(-control->log.last_error));
        else if (before < 0 && control->log.last_error == 0)
                control_say("%s can be written again", control->log.path);
        return is_left;
}

/* ---- the rings -------------------------------------------------------------------------------------- */

static void on_link_again(void *arg);

static void link_work(struct control *control)
{
        struct msg_ask ask;
        bool is_left;
        uint32_t n;

        control_link_awake(control->link);
        for (n = 0; n < ASKS_A_TURN && control_link_next_ask(control->link, &ask); n++)
                (void)dns_ask_client(control->dns, &ask,
                                     control_now(control)); /* counts what is no question */
        if (n > 0)
                dns_work(control);
        is_left = log_work(control) || n == ASKS_A_TURN;
        control_link_flush(control->link);
        /* A log that cannot be written leaves records in the ring; the tick comes back to them. */
        if (is_left || (!control_link_may_sleep(control->link) && control->log.last_error == 0))
                loop_timer_start(control->loop, &control->link_again, 0, on_link_again, control);
}

static void on_link_again(void *arg)
{
        link_work(arg);
}

static void on_link_event(void *arg, int fd, uint32_t events)
{
        link_work(arg);
}

static void on_tick(void *arg)
{
        struct control *control = arg;

        loop_timer_start(control->loop, &control->tick, CONTROL_TICK_MS, on_tick, control);
        if (control_link_check(control->link)) {
                control_say("attached to a dataplane with %u workers", control_link_workers(control->link));
                /* A drain outlives the control that began it. */
                if (control_link_stats(control->link)->attached == 1)
                        control->is_draining |= atomic_load(&control_link_page(control->link)->draining) == 1;
                push_tell_dataplane(control);
                if (control->redis) /* a dead one may have changed entries without their marks */
                        redis_resend(control->redis);
        }
        control_link_beat(control->link, loop_now_ms(control->loop));
        link_work(control);
}

int service_start(struct control *control)
{
        int r;

        r = loop_add_fd(control->loop, control_link_fd(control->link), EPOLLIN, on_link_event, control);
        if (r == 0)
                r = loop_add_fd(control->loop, dns_fd(control->dns), EPOLLIN, on_dns_event, control);
        if (r < 0)
                return r;
        on_tick(control);
        return 0;
}

void service_stop(struct control *control)
{
        loop_timer_stop(control->loop, &control->tick);
        loop_timer_stop(control->loop, &control->link_again);
        loop_timer_stop(control->loop, &control->dns_timer);
        loop_del_fd(control->loop, control_link_fd(control->link));
        loop_del_fd(control->loop, dns_fd(control->dns));
        while (log_work(control))
                ;
}
