// A stand-in for the AWS provider where no registry can be reached: it knows schemas, plans, and applies nothing.
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
)

func main() {
	stub, err := load()
	if err != nil {
		log.Fatalf("loading the schemas: %v", err)
	}
	factory := func() tfprotov5.ProviderServer { return stub }
	if err := tf5server.Serve("registry.terraform.io/hashicorp/aws", factory); err != nil {
		log.Fatalf("serving: %v", err)
	}
}

// load reads schemas.json, which lies beside this program.
func load() (*provider, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(program), "schemas.json"))
	if err != nil {
		return nil, err
	}
	stub := &provider{}
	return stub, json.Unmarshal(text, stub)
}
