package main

import (
	"encoding/json"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// What goroutines cost, on one thread: what `connscope claims` asks.

const (
	measureSamples = 15
	// Goroutines created for a sample, and calls of Gosched of each of two.
	measureBatch = 1000
	// Goroutines that wait at once.
	measureWaiting = 10000
)

type measured struct {
	CreateSeconds []float64 `json:"create_seconds"`
	SwitchSeconds []float64 `json:"switch_seconds"`
	StackBytes    float64   `json:"stack_bytes"`
}

// Prints one JSON object.
func measure() error {
	runtime.GOMAXPROCS(1)
	var m measured
	m.StackBytes = stackOfOne()
	// The first of each warms up.
	for i := 0; i <= measureSamples; i++ {
		create, change := createOne(), switchOne()
		if i > 0 {
			m.CreateSeconds = append(m.CreateSeconds, create)
			m.SwitchSeconds = append(m.SwitchSeconds, change)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

// CPU time of this process, in seconds.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func createOne() float64 {
	var ended sync.WaitGroup
	ended.Add(measureBatch)
	begun := cpuSeconds()
	for i := 0; i < measureBatch; i++ {
		go ended.Done()
	}
	spent := cpuSeconds() - begun
	ended.Wait()
	return spent / measureBatch
}

func switchOne() float64 {
	var ended sync.WaitGroup
	ended.Add(2)
	begun := cpuSeconds()
	for i := 0; i < 2; i++ {
		go func() {
			for j := 0; j < measureBatch; j++ {
				runtime.Gosched()
			}
			ended.Done()
		}()
	}
	ended.Wait()
	return (cpuSeconds() - begun) / (2 * measureBatch)
}

func stackOfOne() float64 {
	var before, after runtime.MemStats
	var there, ended sync.WaitGroup
	end := make(chan struct{})
	there.Add(measureWaiting)
	ended.Add(measureWaiting)
	runtime.ReadMemStats(&before)
	for i := 0; i < measureWaiting; i++ {
		go func() {
			there.Done()
			<-end
			ended.Done()
		}()
	}
	there.Wait()
	runtime.ReadMemStats(&after)
	close(end)
	ended.Wait()
	return float64(after.StackInuse-before.StackInuse) / measureWaiting
}
