package main

import (
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// block is what schemas.py writes of a resource, a data source, or something nested in one.
type block struct {
	Attributes map[string]attribute `json:"attributes"`
	Blocks     map[string]nested    `json:"blocks"`
}

type attribute struct {
	Type     json.RawMessage `json:"type"`
	Computed bool            `json:"computed"`
	Optional bool            `json:"optional"`
	Required bool            `json:"required"`
}

type nested struct {
	Nesting string `json:"nesting"`
	Min     int64  `json:"min"`
	Max     int64  `json:"max"`
	Block   block  `json:"block"`
}

var nestings = map[string]tfprotov5.SchemaNestedBlockNestingMode{
	"list":   tfprotov5.SchemaNestedBlockNestingModeList,
	"set":    tfprotov5.SchemaNestedBlockNestingModeSet,
	"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
}

func (b block) schema() *tfprotov5.Schema {
	return &tfprotov5.Schema{Block: b.wire()}
}

func (b block) wire() *tfprotov5.SchemaBlock {
	wire := &tfprotov5.SchemaBlock{}
	for name, attribute := range b.Attributes {
		kind, err := tftypes.ParseJSONType(attribute.Type) //nolint:staticcheck // there is no other parser
		if err != nil {
			panic(name + ": " + err.Error())
		}
		wire.Attributes = append(wire.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: kind,
			Computed: attribute.Computed, Optional: attribute.Optional, Required: attribute.Required,
		})
	}
	for name, nested := range b.Blocks {
		wire.BlockTypes = append(wire.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Nesting: nestings[nested.Nesting], MinItems: nested.Min, MaxItems: nested.Max,
			Block: nested.Block.wire(),
		})
	}
	return wire
}

// at is the attribute that a path within the block leads to, if it leads to one.
func (b block) at(path *tftypes.AttributePath) (attribute, bool) {
	steps := path.Steps()
	for index, step := range steps {
		name, isName := step.(tftypes.AttributeName)
		if !isName {
			continue
		}
		if attribute, found := b.Attributes[string(name)]; found {
			return attribute, index == len(steps)-1
		}
		b = b.Blocks[string(name)].Block
	}
	return attribute{}, false
}
