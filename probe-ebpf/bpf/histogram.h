/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
#ifndef CONNSCOPE_HISTOGRAM_H
#define CONNSCOPE_HISTOGRAM_H

#include "abi.h"

enum { MAX_TRIES = 8 };

/* 1 if value > limit, without a branch; both below 2^63. */
static __always_inline __u64 exceeds(__u64 value, __u64 limit)
{
	return (limit - value) >> 63;
}

/*
 * floor(log2(value)); 0 < value < 2^63. BPF has no instruction for it. Without branches, since the
 * values of successive switches are as good as random and each misprediction costs more than this.
 */
static __always_inline __u32 log2_floor(__u64 value)
{
	__u64 bit, shift;

	bit = exceeds(value, 0xffffffff) << 5;
	value >>= bit;
	shift = exceeds(value, 0xffff) << 4;
	value >>= shift;
	bit |= shift;
	shift = exceeds(value, 0xff) << 3;
	value >>= shift;
	bit |= shift;
	shift = exceeds(value, 0xf) << 2;
	value >>= shift;
	bit |= shift;
	shift = exceeds(value, 0x3) << 1;
	value >>= shift;
	bit |= shift;
	return bit | (value >> 1);
}

/* The bucket of a value: itself below HISTOGRAM_SUB, then HISTOGRAM_SUB to each power of two. */
static __always_inline __u32 histogram_bucket(__u64 value)
{
	__u32 bit, bucket;

	if (value < HISTOGRAM_SUB)
		return value;
	bit = log2_floor(value);
	bucket = ((bit - HISTOGRAM_SUB_BITS) << HISTOGRAM_SUB_BITS) +
		 (__u32)(value >> (bit - HISTOGRAM_SUB_BITS));
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The histogram belongs to this CPU and the caller cannot be interrupted by another writer. */
static __always_inline void histogram_add(struct histogram *histogram, __u64 value)
{
	__u32 bucket = histogram_bucket(value);

	histogram->sum += value;
	if (value > histogram->max)
		histogram->max = value;
	if (bucket < HISTOGRAM_BUCKETS)
		histogram->counts[bucket]++;
}

/* The histogram belongs to all CPUs. */
static __always_inline void shared_histogram_add(struct histogram *histogram, __u64 value)
{
	__u32 bucket = histogram_bucket(value);
	int try;

	__sync_fetch_and_add(&histogram->sum, value);
	for (try = 0; try < MAX_TRIES; try++) {
		__u64 max = *(volatile __u64 *)&histogram->max;

		if (value <= max || __sync_val_compare_and_swap(&histogram->max, max, value) == max)
			break;
	}
	if (bucket < HISTOGRAM_BUCKETS)
		__sync_fetch_and_add(&histogram->counts[bucket], 1);
}

#endif
