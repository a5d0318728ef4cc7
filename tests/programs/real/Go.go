// SPDX-License-Identifier: GPL-2.0-only
// Goroutines on their small stacks, files, timers, a child, and a server on the loopback. Static: there is no libc.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

func deep(n int) int {
	var room [64]int
	room[n%64] = n
	if n == 0 {
		return 0
	}
	return deep(n-1) + room[n%64] - n + 1
}

func main() {
	hello := filepath.Join(os.Getenv("R"), "hello.txt")
	var group sync.WaitGroup
	sums := make([]int, 64)
	for i := range sums {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			for k := 0; k < 50; k++ {
				text, err := os.ReadFile(hello)
				if err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				sums[i] += int(text[k%5]) + deep(100)
				time.Sleep(10 * time.Microsecond)
			}
		}(i)
	}
	group.Wait()
	fmt.Println(sums)
	out, err := exec.Command("head", "-c", "5", hello).Output()
	fmt.Println(string(out), err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	go http.Serve(listener, http.FileServer(http.Dir(os.Getenv("R"))))
	for i := 0; i < 20; i++ {
		answer, err := http.Get("http://" + listener.Addr().String() + "/hello.txt")
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Println(answer.Status, string(body[:5]))
	}
	os.WriteFile(filepath.Join(os.Getenv("W"), "written"), []byte("text"), 0o644)
	os.Exit(13)
}
