/* Threads and children whose stacks are known: of functions that keep frame pointers, and call the kernel themselves. */
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FUNCTION __attribute__((noinline)) static void

static unsigned locked = 1;

__attribute__((always_inline)) static inline long call(long number, long a, long b, long c, long d)
{
	register long fourth __asm__("r10") = d;
	long result;

	/* Or the compiler makes no frame for a function that calls no other. */
	__asm__ volatile("" : : "r"(__builtin_frame_address(0)));
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
			 : "rcx", "r11", "memory");
	return result;
}

FUNCTION spin(long times)
{
	for (volatile long at = 0; at < times; at++)
		;
}

FUNCTION burn_long(long times) { spin(3 * times); }
FUNCTION burn_short(long times) { spin(times); }

/* Three to one, in pieces of changing length: in step with no clock. */
FUNCTION burn_both(void)
{
	unsigned seed = 1;

	for (;;) {
		long times = 200000 + rand_r(&seed) % 400000;

		burn_long(times);
		burn_short(times);
	}
}

FUNCTION sleep_a_while(long milliseconds)
{
	struct timespec time = { .tv_nsec = milliseconds * 1000000 };

	call(SYS_nanosleep, (long)&time, 0, 0, 0);
}

FUNCTION sleep_for_ever(void)
{
	for (;;)
		sleep_a_while(20);
}

FUNCTION wait_for_lock(void)
{
	while (__atomic_load_n(&locked, __ATOMIC_SEQ_CST))
		call(SYS_futex, (long)&locked, FUTEX_WAIT_PRIVATE, 1, 0);
	__atomic_store_n(&locked, 1, __ATOMIC_SEQ_CST);
}

FUNCTION hold_lock(void)
{
	sleep_a_while(30);
	__atomic_store_n(&locked, 0, __ATOMIC_SEQ_CST);
	call(SYS_futex, (long)&locked, FUTEX_WAKE_PRIVATE, 1, 0);
}

static void *burner(void *none) { burn_both(); return none; }
static void *sleeper(void *none) { sleep_for_ever(); return none; }
static void *waiter(void *none) { for (;;) wait_for_lock(); return none; }
static void *holder(void *none) { for (;;) hold_lock(); return none; }

FUNCTION burn_in_child(void) { spin(6000000); }
FUNCTION wait_for_child(int child) { call(SYS_wait4, child, 0, 0, 0); }

int main(void)
{
	void *(*threads[])(void *) = { burner, sleeper, waiter, holder };
	pthread_t thread;

	for (int at = 0; at < 4; at++)
		pthread_create(&thread, NULL, threads[at], NULL);
	for (;;) {
		int child = fork();

		if (!child) {
			burn_in_child();
			call(SYS_exit_group, 0, 0, 0, 0);
		}
		wait_for_child(child);
		sleep_a_while(40);
	}
}
