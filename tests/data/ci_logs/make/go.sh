#!/usr/bin/env bash
# go test: assertions, subtests, a panic, a compile error, go vet, a timeout, a data race report is left out (needs cgo).
. "$(dirname "$0")/common.sh"
export GOFLAGS=-mod=mod GOPROXY=off GOCACHE="$work/.cache" HOME="$work"
mkdir -p money store broken slow vetted
cat >go.mod <<'X'
module example.com/shop

go 1.19
X
cat >money/money.go <<'X'
package money

func Total(prices []int, discount int) int {
	sum := 0
	for _, price := range prices {
		sum += price
	}
	return sum - 2*discount
}

func At(prices []int, index int) int { return prices[index] }
X
cat >money/money_test.go <<'X'
package money

import "testing"

func TestTotal(t *testing.T) {
	if got := Total([]int{1, 2}, 0); got != 3 {
		t.Errorf("got %d", got)
	}
}

func TestDiscount(t *testing.T) {
	t.Log("with a discount")
	if got := Total([]int{5}, 1); got != 4 {
		t.Errorf("Total([5], 1) = %d, want 4", got)
	}
	t.Fatalf("second: %s\nover two lines", "bad")
}

func TestTable(t *testing.T) {
	for name, want := range map[string]int{"one item": 1, "no/item": 0} {
		t.Run(name, func(t *testing.T) {
			if got := Total(nil, 1); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
		})
	}
}

func TestSkipped(t *testing.T) { t.Skip("not here") }
X
cat >store/store_test.go <<'X'
package store

import (
	"testing"

	"example.com/shop/money"
)

func TestPanics(t *testing.T) {
	money.At([]int{1}, 5)
}

func TestNever(t *testing.T) {}
X
cat >broken/broken.go <<'X'
package broken

import "fmt"

func Name() string {
	var unused int
	return 3
}
X
cat >broken/broken_test.go <<'X'
package broken

import "testing"

func TestName(t *testing.T) { Name() }
X
cat >slow/slow_test.go <<'X'
package slow

import (
	"testing"
	"time"
)

func TestSlow(t *testing.T) { time.Sleep(time.Minute) }
X
cat >vetted/vetted.go <<'X'
package vetted

import "fmt"

func Say() { fmt.Printf("%d\n", "text") }
X
cat >vetted/vetted_test.go <<'X'
package vetted

import "testing"

func TestSay(t *testing.T) { Say() }
X
record go.txt go test ./money ./store ./broken ./vetted
record go_verbose.txt go test -v ./money
record go_timeout.txt go test -timeout 1s ./slow
as_github github_go.txt go.txt "go test ./..."
