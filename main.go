// Gateway takes webhooks in, keeps them, and delivers them.
package main

import "integration-gateway/platform/cli"

func main() { cli.Execute() }
