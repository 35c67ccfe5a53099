package main

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// provider answers what init, validate, plan and test ask. What they do not ask is left to the nil interface.
type provider struct {
	tfprotov5.ProviderServer
	Resources   map[string]block `json:"resources"`
	DataSources map[string]block `json:"data_sources"`
}

// settings are the provider's own arguments, as far as a configuration here may use them.
var settings = block{Attributes: map[string]attribute{
	"region":                 {Type: []byte(`"string"`), Optional: true},
	"skip_region_validation": {Type: []byte(`"bool"`), Optional: true},
}, Blocks: map[string]nested{
	"default_tags": {Nesting: "list", Max: 1, Block: block{Attributes: map[string]attribute{
		"tags": {Type: []byte(`["map","string"]`), Optional: true},
	}}},
}}

// answers are what data sources say here.
var answers = map[string]string{
	"account_id": "123456789012",
	"arn":        "arn:aws:iam::123456789012:user/offline",
	"dns_suffix": "amazonaws.com",
	"name":       "eu-west-1",
	"partition":  "aws",
	"region":     "eu-west-1",
}

func (p *provider) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	response := &tfprotov5.GetMetadataResponse{}
	for name := range p.Resources {
		response.Resources = append(response.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	for name := range p.DataSources {
		response.DataSources = append(response.DataSources, tfprotov5.DataSourceMetadata{TypeName: name})
	}
	return response, nil
}

func (p *provider) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	schemas := func(blocks map[string]block) map[string]*tfprotov5.Schema {
		schemas := map[string]*tfprotov5.Schema{}
		for name, block := range blocks {
			schemas[name] = block.schema()
		}
		return schemas
	}
	return &tfprotov5.GetProviderSchemaResponse{
		Provider:          settings.schema(),
		ResourceSchemas:   schemas(p.Resources),
		DataSourceSchemas: schemas(p.DataSources),
	}, nil
}

func (p *provider) GetResourceIdentitySchemas(context.Context, *tfprotov5.GetResourceIdentitySchemasRequest) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (p *provider) PrepareProviderConfig(_ context.Context, request *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: request.Config}, nil
}

func (p *provider) ConfigureProvider(context.Context, *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (p *provider) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (p *provider) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (p *provider) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

// PlanResourceChange plans a creation: whatever AWS would compute and the configuration does not say is unknown.
func (p *provider) PlanResourceChange(_ context.Context, request *tfprotov5.PlanResourceChangeRequest) (*tfprotov5.PlanResourceChangeResponse, error) {
	planned, err := p.Resources[request.TypeName].fill(request.ProposedNewState, func(_ string, kind tftypes.Type) any {
		return tftypes.UnknownValue
	})
	return &tfprotov5.PlanResourceChangeResponse{PlannedState: planned, UnsafeToUseLegacyTypeSystem: true}, err
}

// ReadDataSource answers from the fixed answers.
func (p *provider) ReadDataSource(_ context.Context, request *tfprotov5.ReadDataSourceRequest) (*tfprotov5.ReadDataSourceResponse, error) {
	state, err := p.DataSources[request.TypeName].fill(request.Config, func(name string, kind tftypes.Type) any {
		if answer, known := answers[name]; known {
			return answer
		}
		return nil
	})
	return &tfprotov5.ReadDataSourceResponse{State: state}, err
}

// ApplyResourceChange refuses: nothing here reaches AWS.
func (p *provider) ApplyResourceChange(context.Context, *tfprotov5.ApplyResourceChangeRequest) (*tfprotov5.ApplyResourceChangeResponse, error) {
	return nil, errors.New("this stand-in for the AWS provider plans and does not apply")
}

// fill replaces each computed attribute that is null.
func (b block) fill(wire *tfprotov5.DynamicValue, with func(name string, kind tftypes.Type) any) (*tfprotov5.DynamicValue, error) {
	kind := b.schema().ValueType()
	value, err := wire.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	filled, err := tftypes.Transform(value, func(path *tftypes.AttributePath, value tftypes.Value) (tftypes.Value, error) {
		attribute, found := b.at(path)
		if !found || !attribute.Computed || !value.IsNull() {
			return value, nil
		}
		name, _ := path.LastStep().(tftypes.AttributeName)
		return tftypes.NewValue(value.Type(), with(string(name), value.Type())), nil
	})
	if err != nil {
		return nil, err
	}
	answer, err := tfprotov5.NewDynamicValue(kind, filled)
	return &answer, err
}
