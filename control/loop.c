/* SPDX-License-Identifier: Apache-2.0 */
#include "control/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define LOOP_EVENTS_MAX 64

struct watch {
        loop_fd_fn fn; /* NULL: not watched */
        void *arg;
        uint32_t serial; /* of the registration, so that a stale event of a reused number is told apart */
};

struct loop {
        int epoll_fd;
        int wake_fd;
        bool is_stopping;
        bool is_in_turn;
        uint64_t now_ms;
        struct watch watches[LOOP_FDS_MAX];
        uint32_t serial;
        struct loop_timer **heap; /* the soonest first */
        uint32_t heap_used, heap_size;
        pthread_mutex_t lock; /* guards the two below */
        struct loop_work *posted_first;
        struct loop_work **posted_last;
        struct loop_stats stats;
};

static uint64_t clock_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void run_posted(struct loop *loop)
{
        struct loop_work *work;
        uint64_t rung;

        while (read(loop->wake_fd, &rung, sizeof(rung)) == sizeof(rung))
                ;
        pthread_mutex_lock(&loop->lock);
        work = loop->posted_first;
        loop->posted_first = NULL;
        loop->posted_last = &loop->posted_first;
        pthread_mutex_unlock(&loop->lock);
        while (work) {
                struct loop_work *next = work->next; /* fn may free or post its work again */

                work->fn(work->arg);
                work = next;
        }
}

static void wake_event(void *arg, int fd, uint32_t events)
{
        run_posted(arg);
}

struct loop *loop_new(void)
{
        struct loop *loop = calloc(1, sizeof(*loop));

        if (loop == NULL)
                return NULL;
        pthread_mutex_init(&loop->lock, NULL);
        loop->posted_last = &loop->posted_first;
        loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
            loop_add_fd(loop, loop->wake_fd, EPOLLIN, wake_event, loop) < 0) {
                loop_free(loop);
                return NULL;
        }
        return loop;
}

void loop_free(struct loop *loop)
{
        if (loop == NULL)
                return;
        if (loop->epoll_fd >= 0)
                close(loop->epoll_fd);
        if (loop->wake_fd >= 0)
                close(loop->wake_fd);
        pthread_mutex_destroy(&loop->lock);
        free(loop->heap);
        free(loop);
}

uint64_t loop_now_ms(const struct loop *loop)
{
        return loop->is_in_turn ? loop->now_ms : clock_us() / 1000u;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *arg)
{
        struct epoll_event event = { .events = events };
        bool is_new;

        if (fd < 0 || fd >= LOOP_FDS_MAX)
                return -EMFILE;
        is_new = loop->watches[fd].fn == NULL;
        if (is_new)
                loop->serial++;
        event.data.u64 = (uint64_t)(is_new ? loop->serial : loop->watches[fd].serial) << 32 | (uint32_t)fd;
        if (epoll_ctl(loop->epoll_fd, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) < 0)
                return -errno;
        if (is_new) {
                loop->watches[fd].serial = loop->serial;
                loop->stats.fds++;
        }
        loop->watches[fd].fn = fn;
        loop->watches[fd].arg = arg;
        return 0;
}

void loop_del_fd(struct loop *loop, int fd)
{
        if (fd < 0 || fd >= LOOP_FDS_MAX || loop->watches[fd].fn == NULL)
                return;
        (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* a closed fd has gone by itself */
        loop->watches[fd].fn = NULL;
        loop->stats.fds--;
}

static void heap_put(struct loop *loop, uint32_t place, struct loop_timer *timer)
{
        loop->heap[place] = timer;
        timer->place = place + 1;
}

static void heap_up(struct loop *loop, uint32_t place)
{
        struct loop_timer *timer = loop->heap[place];

        while (place > 0 && loop->heap[(place - 1) / 2]->due_ms > timer->due_ms) {
                heap_put(loop, place, loop->heap[(place - 1) / 2]);
                place = (place - 1) / 2;
        }
        heap_put(loop, place, timer);
}

static void heap_down(struct loop *loop, uint32_t place)
{
        struct loop_timer *timer = loop->heap[place];

        for (;;) {
                uint32_t child = 2 * place + 1;

                if (child + 1 < loop->heap_used && loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms)
                        child++;
                if (child >= loop->heap_used || loop->heap[child]->due_ms >= timer->due_ms)
                        break;
                heap_put(loop, place, loop->heap[child]);
                place = child;
        }
        heap_put(loop, place, timer);
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms, loop_fn fn, void *arg)
{
        loop_timer_stop(loop, timer);
        if (loop->heap_used == loop->heap_size) {
                uint32_t size = MAX(64u, 2 * loop->heap_size);
                struct loop_timer **heap = realloc(loop->heap, size * sizeof(*heap));

                BUG_ON(heap == NULL); /* 8 bytes a timer: nothing a peer can make us run out of */
                loop->heap = heap;
                loop->heap_size = size;
        }
        timer->fn = fn;
        timer->arg = arg;
        timer->due_ms = loop_now_ms(loop) + delay_ms;
        loop->heap[loop->heap_used++] = timer;
        heap_up(loop, loop->heap_used - 1);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
        uint32_t place = timer->place - 1;
        struct loop_timer *last;

        if (timer->place == 0)
                return;
        BUG_ON(place >= loop->heap_used || loop->heap[place] != timer);
        timer->place = 0;
        last = loop->heap[--loop->heap_used];
        if (last == timer)
                return;
        heap_put(loop, place, last);
        heap_up(loop, place);
        heap_down(loop, last->place - 1);
}

void loop_post(struct loop *loop, struct loop_work *work)
{
        uint64_t one = 1;
        ssize_t sent;

        work->next = NULL;
        pthread_mutex_lock(&loop->lock);
        *loop->posted_last = work;
        loop->posted_last = &work->next;
        pthread_mutex_unlock(&loop->lock);
        sent = write(loop->wake_fd, &one, sizeof(one));
        (void)sent; /* a full counter means that the loop has been woken already */
}

static int wait_ms(const struct loop *loop, int wait_max_ms)
{
        uint64_t now_ms = clock_us() / 1000u;
        uint64_t wait;

        if (loop->heap_used == 0)
                return wait_max_ms;
        wait = loop->heap[0]->due_ms > now_ms ? loop->heap[0]->due_ms - now_ms : 0;
        if (wait_max_ms >= 0 && wait > (uint64_t)wait_max_ms)
                return wait_max_ms;
        return (int)MIN(wait, 3600u * 1000u);
}

static void run_timers(struct loop *loop)
{
        /* What a timer starts anew with no delay runs in the next turn: a turn always ends. */
        uint32_t left = loop->heap_used;

        while (left-- > 0 && loop->heap_used > 0 && loop->heap[0]->due_ms <= loop->now_ms) {
                struct loop_timer *timer = loop->heap[0];

                loop_timer_stop(loop, timer);
                timer->fn(timer->arg);
        }
}

void loop_turn(struct loop *loop, int wait_max_ms)
{
        struct epoll_event events[LOOP_EVENTS_MAX];
        uint64_t began_us, took_us;
        int n;

        n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS_MAX, wait_ms(loop, wait_max_ms));
        began_us = clock_us();
        loop->now_ms = began_us / 1000u;
        loop->is_in_turn = true;
        for (int i = 0; i < n; i++) {
                int fd = (int)(uint32_t)events[i].data.u64;
                struct watch *watch = &loop->watches[fd];

                if (watch->fn && watch->serial == (uint32_t)(events[i].data.u64 >> 32))
                        watch->fn(watch->arg, fd, events[i].events);
        }
        run_timers(loop);
        loop->is_in_turn = false;
        took_us = clock_us() - began_us;
        loop->stats.turns++;
        loop->stats.slow_turns += took_us > LOOP_TURN_MAX_MS * 1000u;
        loop->stats.longest_turn_us = MAX(loop->stats.longest_turn_us, took_us);
}

void loop_run(struct loop *loop)
{
        while (!loop->is_stopping)
                loop_turn(loop, -1);
}

void loop_stop(struct loop *loop)
{
        loop->is_stopping = true;
}

struct loop_stats loop_stats(const struct loop *loop)
{
        struct loop_stats stats = loop->stats;

        stats.timers = loop->heap_used;
        return stats;
}

void loop_stats_reset_longest(struct loop *loop)
{
        loop->stats.longest_turn_us = 0;
}
