//! What becomes of readings.

use super::*;
use std::sync::Arc;
use std::thread;

fn reading(number: u8) -> Reading {
    Reading {
        body: vec![number],
        is_gzip: false,
    }
}

fn open(room: usize) -> Queue {
    let queue = Queue::default();
    queue.open(queue.next_generation(), room);
    queue
}

fn counts(queue: &Queue) -> [u64; 4] {
    let pushed = queue.pushed();
    [pushed.sent, pushed.dropped, pushed.refused, pushed.waiting]
}

#[test]
fn the_oldest_make_room_and_nothing_goes_uncounted() {
    let queue = open(3);
    for number in 0..5 {
        queue.put(reading(number));
    }
    assert_eq!(counts(&queue), [0, 2, 0, 3]);
    assert_eq!(queue.take(1, None), Some(reading(2)));
    assert_eq!(counts(&queue), [0, 2, 0, 3]);
    queue.sent(7);
    assert_eq!(counts(&queue), [1, 2, 0, 2]);
    assert_eq!(queue.take(1, None), Some(reading(3)));
    queue.refused();
    assert_eq!(counts(&queue), [1, 2, 1, 1]);
    assert_eq!(queue.pushed().rejected_points, 7);
}

#[test]
fn what_failed_is_the_oldest_still() {
    let queue = open(2);
    queue.put(reading(0));
    let taken = queue.take(1, None).expect("one");
    queue.put(reading(1));
    queue.again(taken);
    assert_eq!(counts(&queue), [0, 0, 0, 2]);
    let taken = queue.take(1, None).expect("one");
    assert_eq!(taken, reading(0));
    queue.put(reading(2));
    queue.again(taken);
    assert_eq!(counts(&queue), [0, 1, 0, 2]);
    assert_eq!(queue.take(1, None), Some(reading(1)));
}

#[test]
fn another_sender_goes_on_where_one_was() {
    let queue = open(2);
    queue.put(reading(0));
    let taken = queue.take(1, None).expect("one");
    queue.put(reading(1));
    queue.open(queue.next_generation(), 2);
    assert_eq!(queue.take(1, None), None);
    queue.again(taken);
    assert_eq!(queue.take(2, None), Some(reading(0)));
    queue.sent(0);
    assert_eq!(counts(&queue), [1, 0, 0, 1]);
    queue.close();
    assert_eq!(counts(&queue), [1, 1, 0, 0]);
    assert_eq!(queue.take(2, None), None);
}

#[test]
fn the_end_waits_for_what_can_be_sent_and_for_nothing_else() {
    let queue = Arc::new(open(9));
    (0..3).for_each(|number| queue.put(reading(number)));
    let sender = {
        let queue = queue.clone();
        thread::spawn(move || {
            while queue.take(1, None).is_some() {
                queue.sent(0);
            }
        })
    };
    queue.finish(Duration::from_secs(30));
    assert_eq!(counts(&queue), [3, 0, 0, 0]);
    sender.join().expect("it ends");
    // One that has failed, and would be tried again in an hour.
    let queue = Arc::new(open(9));
    queue.put(reading(0));
    let sender = {
        let queue = queue.clone();
        let later = Instant::now() + Duration::from_secs(3_600);
        thread::spawn(move || queue.take(1, Some(later)))
    };
    let begun = Instant::now();
    queue.finish(Duration::from_secs(30));
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(sender.join().expect("it ends"), None);
    assert_eq!(counts(&queue), [0, 0, 0, 1]);
}

#[test]
fn nothing_is_taken_before_its_time() {
    let queue = open(1);
    queue.put(reading(0));
    let (begun, wait) = (Instant::now(), Duration::from_millis(30));
    assert!(queue.take(1, Some(begun + wait)).is_some());
    assert!(begun.elapsed() >= wait);
}
