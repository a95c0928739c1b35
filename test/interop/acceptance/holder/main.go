// Holds the acceptance program's lock until its standard input ends; the program must then say that it could not acquire it.
package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-zookeeper/zk"
)

func main() {
	conn, _, err := zk.Connect([]string{"localhost"}, 4*time.Second)
	if err == nil {
		_, err = conn.Create("/mylock", nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	}
	if err != nil {
		fmt.Println("no:", err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = io.ReadAll(os.Stdin)
	conn.Close()
}
