/* Who may be in a store: any number of calls that seal and open, or one that changes keys.
 *
 * Counters have a lock of their own, held for as long as they are looked at and moved and never while a message is worked
 * on. So two threads in one store never get one counter of a context twice, whatever contexts they use, and no key changes
 * under a message; threads that keep to contexts of their own (index modulo threads) wait for nothing but that lock, once in
 * a thousand messages. Whoever must wait gives way to other threads; nobody waits for more than a batch.
 */
#ifndef SM_GATE_H
#define SM_GATE_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

typedef struct {
    _Atomic uint32_t inside;  /* calls inside, or ALONE */
    _Atomic uint32_t waiting; /* calls that want to be alone: nobody enters before them */
    _Atomic uint32_t counting;
} sm_gate;

#define SM_GATE_ALONE 0x80000000u

static inline void sm_gate_enter(sm_gate *gate)
{
    for (;;) {
        uint32_t inside = atomic_load_explicit(&gate->inside, memory_order_relaxed);
        if (!(inside & SM_GATE_ALONE) && atomic_load_explicit(&gate->waiting, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_weak_explicit(&gate->inside, &inside, inside + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return;
        if (inside & SM_GATE_ALONE || atomic_load_explicit(&gate->waiting, memory_order_relaxed) != 0)
            (void)sched_yield();
    }
}

static inline void sm_gate_leave(sm_gate *gate)
{
    (void)atomic_fetch_sub_explicit(&gate->inside, 1, memory_order_release);
}

static inline int sm_gate_try_alone(sm_gate *gate)
{
    uint32_t nobody = 0;
    return atomic_compare_exchange_strong_explicit(&gate->inside, &nobody, SM_GATE_ALONE, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void sm_gate_enter_alone(sm_gate *gate)
{
    if (sm_gate_try_alone(gate))
        return;
    (void)atomic_fetch_add_explicit(&gate->waiting, 1, memory_order_relaxed);
    while (!sm_gate_try_alone(gate))
        (void)sched_yield();
    (void)atomic_fetch_sub_explicit(&gate->waiting, 1, memory_order_relaxed);
}

static inline void sm_gate_leave_alone(sm_gate *gate)
{
    atomic_store_explicit(&gate->inside, 0, memory_order_release);
}

static inline void sm_gate_count(sm_gate *gate)
{
    while (atomic_exchange_explicit(&gate->counting, 1, memory_order_acquire) != 0)
        (void)sched_yield();
}

static inline void sm_gate_counted(sm_gate *gate)
{
    atomic_store_explicit(&gate->counting, 0, memory_order_release);
}

#endif
