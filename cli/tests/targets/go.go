// A target in Go: every tenth first attempt fails, each record that is taken is a line "KEY OFFSET".
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	offset := r.Header.Get("X-Tidegate-Offset")
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case string(body) != "value-"+offset:
		w.WriteHeader(http.StatusUnprocessableEntity)
	case strings.HasSuffix(offset, "3") && r.Header.Get("X-Tidegate-Attempt") == "1":
		w.WriteHeader(http.StatusInternalServerError)
	default:
		fmt.Println(r.Header.Get("X-Tidegate-Key"), offset)
		w.WriteHeader(http.StatusNoContent)
	}
}

func main() {
	http.HandleFunc("/", take)
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
