package erasure

import (
	"os"
	"testing"

	"integration-gateway/platform/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.ReportChecked(m)) }
