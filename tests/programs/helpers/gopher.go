// SPDX-License-Identifier: GPL-2.0-only
// Goroutines on many threads that read a file of the directory given; then a child process, and the program's own name.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
)

func main() {
	path := os.Args[1] + "/hello.txt"
	var group sync.WaitGroup
	for i := 0; i < 64; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for round := 0; round < 20; round++ {
				text, err := os.ReadFile(path)
				if err != nil || string(text) != "Hello, world!\n" {
					panic(fmt.Sprint(err, text))
				}
			}
		}()
	}
	group.Wait()
	// Its kernel is in use: the child has the host's files only.
	out, err := exec.Command("/bin/echo", "a child").Output()
	if err != nil {
		panic(err)
	}
	fmt.Print(string(out))
	own, err := os.Executable()
	if err != nil {
		panic(err)
	}
	fmt.Println("ok", own)
}
