// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * No program: the maps of the watch list, which the objects of all probes are given. Made first, they let
 * those be loaded side by side.
 */
#include "watch.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";
